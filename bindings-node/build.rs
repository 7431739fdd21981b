//! Has the library look up Node's functions in the process that loads it.

fn main() {
    napi_build::setup();
}
