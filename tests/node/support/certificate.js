"use strict";

/** A certificate for tests that speak TLS, for localhost and 127.0.0.1, which no authority has signed. */
module.exports = {
  key: [
    "-----BEGIN PRIVATE KEY-----",
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXn8fTYIAjmXpiF0Z",
    "yLuk8Y4NNj5OJHWXgRJ6HLXnUqChRANCAASZ1ono9x6Thlso9SWum5N4vWa8sElO",
    "OmWlacxxZKJl4ivcxNpBNP+W9rHwvS17mfUdL3JzeQjLLag8bdwXwxRB",
    "-----END PRIVATE KEY-----",
  ].join("\n"),
  cert: [
    "-----BEGIN CERTIFICATE-----",
    "MIIBmzCCAUGgAwIBAgIUR1iWIF8txq67vwcjxjgEnh6HtLgwCgYIKoZIzj0EAwIw",
    "FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTE3Mzc0NVoYDzIxMjYxMDI4",
    "MTczNzQ1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO",
    "PQMBBwNCAASZ1ono9x6Thlso9SWum5N4vWa8sElOOmWlacxxZKJl4ivcxNpBNP+W",
    "9rHwvS17mfUdL3JzeQjLLag8bdwXwxRBo28wbTAdBgNVHQ4EFgQUUJrshhjVnYcs",
    "oVTOZDXXPB4uPWcwHwYDVR0jBBgwFoAUUJrshhjVnYcsoVTOZDXXPB4uPWcwDwYD",
    "VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI",
    "zj0EAwIDSAAwRQIhAL7UTUp8B1/daQM9vLNSgcfoLci8h30SFp82ZJPi5C3bAiAr",
    "OVllqWDiFa8pyJ+l51+QpQ/a1d1XbX8OG1iZ8U4djQ==",
    "-----END CERTIFICATE-----",
  ].join("\n"),
};
