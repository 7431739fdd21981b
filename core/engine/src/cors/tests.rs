//! Cross-origin rules against the requests of a browser.

use http::Uri;

use super::*;

const PAGE: &str = "https://page.example";

fn head(method: Method, headers: &[(&'static str, &str)]) -> RequestHead {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_str(value).unwrap());
    }
    RequestHead::new(method, Uri::from_static("/socket.io/?EIO=4&transport=polling"), map, None)
}

fn get_from(origin: &str) -> RequestHead {
    head(Method::GET, &[("origin", origin)])
}

fn answer(cors: &Cors, head: &RequestHead, decision: Option<&OriginDecision>) -> Vec<(String, String)> {
    let mut headers = HeaderMap::new();
    cors.apply(head, decision, &mut headers);
    listed(&headers)
}

fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let mut list: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    list.sort();
    list
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn by_default_every_origin_is_told_a_star() {
    assert_eq!(
        answer(&Cors::default(), &get_from(PAGE), None),
        pairs(&[("access-control-allow-origin", "*")])
    );
}

#[test]
fn a_fixed_origin_is_told_to_everybody() {
    let cors = Cors { origin: Origin::Fixed(PAGE.to_owned()), ..Cors::default() };
    let expected = pairs(&[("access-control-allow-origin", PAGE), ("vary", "Origin")]);
    assert_eq!(answer(&cors, &get_from("https://other.example"), None), expected);
    assert_eq!(answer(&cors, &head(Method::POST, &[]), None), expected);
}

#[test]
fn a_listed_origin_is_reflected_and_another_is_told_nothing() {
    let listed = vec![PAGE.to_owned(), "https://shop.example.com".to_owned()];
    let cors = Cors { origin: Origin::List(listed), ..Cors::default() };
    for allowed in [PAGE, "https://shop.example.com"] {
        let expected = pairs(&[("access-control-allow-origin", allowed), ("vary", "Origin")]);
        assert_eq!(answer(&cors, &get_from(allowed), None), expected);
    }
    for refused in ["https://page.example.evil", "https://shop.example.com.evil", "null"] {
        assert_eq!(answer(&cors, &get_from(refused), None), pairs(&[("vary", "Origin")]));
    }
}

#[test]
fn credentials_and_exposed_headers_are_announced() {
    let cors = Cors {
        origin: Origin::Reflect,
        credentials: true,
        exposed_headers: vec!["x-one".to_owned(), "x-two".to_owned()],
        ..Cors::default()
    };
    let expected = [
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-origin", PAGE),
        ("access-control-expose-headers", "x-one,x-two"),
        ("vary", "Origin"),
    ];
    assert_eq!(answer(&cors, &get_from(PAGE), None), pairs(&expected));
}

#[test]
fn a_preflight_is_told_the_headers_it_asks_for() {
    let cors = Cors { origin: Origin::Reflect, max_age: Some(600), ..Cors::default() };
    let asked = [("origin", PAGE), ("access-control-request-headers", "x-token,content-type")];
    let response = cors.preflight(&head(Method::OPTIONS, &asked), None).expect("it is answered here");
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let expected = [
        ("access-control-allow-headers", "x-token,content-type"),
        ("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE"),
        ("access-control-allow-origin", PAGE),
        ("access-control-max-age", "600"),
        ("content-length", "0"),
        ("vary", "Origin, Access-Control-Request-Headers"),
    ];
    assert_eq!(listed(response.headers()), pairs(&expected));
}

#[test]
fn a_preflight_is_told_the_configured_headers() {
    let cors = Cors {
        allowed_headers: Some(vec!["x-one".to_owned(), "x-two".to_owned()]),
        options_success_status: 200,
        ..Cors::default()
    };
    let asked = [("origin", PAGE), ("access-control-request-headers", "x-token")];
    let response = cors.preflight(&head(Method::OPTIONS, &asked), None).expect("it is answered here");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["access-control-allow-headers"], "x-one,x-two");
    assert!(!response.headers().contains_key("vary"));
}

#[test]
fn a_preflight_goes_on_where_it_is_not_answered_here() {
    let preflight = head(Method::OPTIONS, &[("origin", PAGE)]);
    let going_on = Cors { preflight_continue: true, ..Cors::default() };
    assert!(going_on.preflight(&preflight, None).is_none());
    let methods = ("access-control-allow-methods".to_owned(), going_on.methods.clone());
    assert!(answer(&going_on, &preflight, None).contains(&methods));

    let off = Cors { origin: Origin::None, ..Cors::default() };
    assert!(off.preflight(&preflight, None).is_none());
    assert_eq!(answer(&off, &preflight, None), pairs(&[]));

    assert!(Cors::default().preflight(&get_from(PAGE), None).is_none());
}

#[test]
fn the_host_decides_for_each_request() {
    let cors = Cors { origin: Origin::Ask, enforce: true, ..Cors::default() };
    assert!(cors.needs_host());
    let request = get_from(PAGE);
    let decide = |decision: Option<OriginDecision>| {
        (cors.allows(&request, decision.as_ref()), answer(&cors, &request, decision.as_ref()))
    };
    let own = pairs(&[("access-control-allow-origin", PAGE), ("vary", "Origin")]);
    assert_eq!(decide(Some(OriginDecision::Reflect)), (true, own.clone()));
    assert_eq!(decide(Some(OriginDecision::Fixed(PAGE.to_owned()))), (true, own));
    assert_eq!(decide(Some(OriginDecision::Any)), (true, pairs(&[("access-control-allow-origin", "*")])));
    assert_eq!(decide(Some(OriginDecision::Refused)), (false, pairs(&[])));
    assert_eq!(decide(None), (false, pairs(&[])));
    let other = OriginDecision::Fixed("https://other.example".to_owned());
    assert!(!cors.allows(&request, Some(&other)));
}

#[test]
fn a_decision_that_no_header_can_hold_is_not_sent() {
    let cors = Cors { origin: Origin::Ask, ..Cors::default() };
    let split = OriginDecision::Fixed("https://a\r\nset-cookie: b".to_owned());
    assert_eq!(answer(&cors, &get_from(PAGE), Some(&split)), pairs(&[("vary", "Origin")]));
}

#[test]
fn origins_are_refused_only_when_enforced() {
    let list = || Origin::List(vec![PAGE.to_owned()]);
    let lax = Cors { origin: list(), ..Cors::default() };
    assert!(lax.allows(&get_from("https://other.example"), None));

    let strict = Cors { origin: list(), enforce: true, ..Cors::default() };
    assert!(strict.allows(&get_from(PAGE), None));
    assert!(!strict.allows(&get_from("https://other.example"), None));
    assert!(strict.allows(&head(Method::GET, &[]), None), "no page sent a request without an origin");
}

#[test]
fn nothing_is_refused_where_every_origin_is_allowed_or_the_rules_are_off() {
    for origin in [Origin::Any, Origin::Reflect, Origin::None] {
        let cors = Cors { origin, enforce: true, ..Cors::default() };
        assert!(cors.allows(&get_from(PAGE), None), "{:?}", cors.origin);
    }
}

#[test]
fn an_origin_that_is_no_text_is_not_listed() {
    let mut request = get_from(PAGE);
    request.headers.insert(ORIGIN, HeaderValue::from_bytes(b"https://\xff").unwrap());
    let listed = vec!["https://".to_owned()];
    let cors = Cors { origin: Origin::List(listed), enforce: true, ..Cors::default() };
    assert!(!cors.allows(&request, None));
    assert_eq!(answer(&cors, &request, None), pairs(&[("vary", "Origin")]));
}

#[test]
fn the_servers_own_origin_is_that_of_the_request_or_of_its_proxy() {
    let cors = Cors { origin: Origin::SameHost, enforce: true, ..Cors::default() };
    let allows = |headers: &[(&'static str, &str)]| cors.allows(&head(Method::GET, headers), None);
    assert!(allows(&[("host", "page.example:3000"), ("origin", "http://page.example:3000")]));
    assert!(!allows(&[("host", "page.example:3000"), ("origin", "http://page.example:4000")]));
    assert!(!allows(&[("host", "page.example"), ("origin", PAGE)]), "the request is not encrypted");
    assert!(!allows(&[("origin", PAGE)]), "there is no host to compare with");

    let proxied = [("host", "10.0.0.1"), ("x-forwarded-proto", "https, http"), ("origin", PAGE)];
    assert!(!allows(&proxied));
    let named = [proxied.as_slice(), &[("x-forwarded-host", "page.example, inner")]].concat();
    assert!(allows(&named));

    let mut encrypted = head(Method::GET, &[("host", "page.example"), ("origin", PAGE)]);
    encrypted.secure = true;
    assert!(cors.allows(&encrypted, None));
}

#[test]
fn vary_is_added_once_to_what_the_answer_has() {
    let cors = Cors { origin: Origin::Reflect, ..Cors::default() };
    let varied = |present: &'static str| {
        let mut headers = HeaderMap::from_iter([(VARY, HeaderValue::from_static(present))]);
        cors.apply(&get_from(PAGE), None, &mut headers);
        headers[VARY].to_str().unwrap().to_owned()
    };
    assert_eq!(varied("Accept-Encoding"), "Accept-Encoding, Origin");
    assert_eq!(varied("accept, origin"), "accept, origin");
    assert_eq!(varied("*"), "*");
}

#[test]
fn an_option_that_no_header_can_hold_is_refused_by_name() {
    let refused = |cors: &Cors| cors.validate(|valid, option, _, _| if valid { Ok(()) } else { Err(option) });
    assert_eq!(refused(&Cors::default()), Ok(()));
    let broken = || "a\r\nb".to_owned();
    let fixed = Cors { origin: Origin::Fixed(broken()), ..Cors::default() };
    assert_eq!(refused(&fixed), Err("cors.origin"));
    let exposed = Cors { exposed_headers: vec![broken()], ..Cors::default() };
    assert_eq!(refused(&exposed), Err("cors.exposed_headers"));
    let status = Cors { options_success_status: 101, ..Cors::default() };
    assert_eq!(refused(&status), Err("cors.options_success_status"));
}
