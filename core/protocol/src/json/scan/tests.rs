use super::*;

fn check(text: &str) -> Result<(), JsonError> {
    scan(text, 512, &mut ())
}

#[test]
fn json_of_every_kind_is_accepted() {
    for text in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "10",
        "-1.5",
        "0.25",
        "1e5",
        "1E+5",
        "1.5e-300",
        "1e99999",
        "\"\"",
        "\"é€🦀\"",
        "\"\u{7f}\"",
        r#""\"\\\/\b\f\n\r\t\u00e9""#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        "[]",
        "[ ]",
        "[1]",
        "[1,2]",
        "[[],[]]",
        "{}",
        "{ }",
        r#"{"a":1}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"":[{}]}"#,
        " \t\r\n[ 1 , { \"a\" : [ ] } ] \n",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "undefined",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1.e5",
        "1e",
        "1e+",
        "0x10",
        "1_000",
        "1 2",
        "\"",
        "\"a",
        "'a'",
        "\"\n\"",
        "\"\0\"",
        "\"\x1f\"",
        r#""\x41""#,
        r#""\u12""#,
        r#""\u12g4""#,
        r#""\"#,
        "\"\\u00é\"",
        "[",
        "]",
        "[1",
        "[1,",
        "[,]",
        "[1,]",
        "[1 2]",
        "[1}",
        "{",
        "}",
        "{1:2}",
        "{a:1}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":1]"#,
        r#"{"a" 1}"#,
        r#"{,"a":1}"#,
        "[]]",
        "{}{}",
        "[]x",
        "\u{feff}[]",
        "\u{a0}[]",
        "[1]//",
        "/**/1",
        "é",
        "\u{2028}1",
    ] {
        assert_eq!(check(text), Err(JsonError::Malformed), "{text}");
    }
}

#[test]
fn depth_is_bounded_and_brackets_must_match_at_any_depth() {
    for depth in [1, 63, 64, 65, 127, 128, 129, 512] {
        let open: String = (0..depth).map(|idx| if idx % 3 == 0 { "{\"a\":" } else { "[" }).collect();
        let close: String = (0..depth).rev().map(|idx| if idx % 3 == 0 { '}' } else { ']' }).collect();
        let text = format!("{open}1{close}");
        assert_eq!(check(&text), Ok(()), "{depth}");
        assert_eq!(scan(&text, depth, &mut ()), Ok(()), "{depth}");
        assert_eq!(scan(&text, depth - 1, &mut ()), Err(JsonError::TooDeep), "{depth}");
        let swapped = text.replace(']', "}");
        assert_eq!(check(&swapped).is_ok(), depth == 1, "{depth}");
        let outermost_wrong = format!("{}]", &text[..text.len() - 1]);
        assert_eq!(check(&outermost_wrong), Err(JsonError::Malformed), "{depth}");
    }
    assert_eq!(check(&"[".repeat(1_000_000)), Err(JsonError::TooDeep));
}

#[test]
fn a_string_ends_at_its_quote_wherever_that_stands() {
    for len in 0..40 {
        for special in ["\"", "\\n\"", "é\"", "\u{7f}\""] {
            let text = format!("\"{}{special}", "x".repeat(len));
            assert_eq!(check(&text), Ok(()), "{text}");
            assert_eq!(check(&format!("{text}1")), Err(JsonError::Malformed), "{text}");
            let end = text.len() - 1;
            assert_eq!(leading_string(&text).unwrap().raw, &text[1..end]);
        }
        let control = format!("\"{}\x1f\"", "x".repeat(len));
        assert_eq!(check(&control), Err(JsonError::Malformed), "{control:?}");
    }
}

#[test]
fn bytes_that_need_attention_are_found_one_by_one_or_eight_at_a_time() {
    for before in 0..24 {
        for byte in 0..=255 {
            let mut bytes = vec![b'x'; before];
            bytes.push(byte);
            bytes.extend([0xff; 9]);
            let is_special = byte < b' ' || byte == b'"' || byte == b'\\';
            assert_eq!(plain_len(&bytes), if is_special { before } else { bytes.len() }, "{before} {byte}");
        }
    }
}

#[test]
fn a_visitor_meets_everything_in_order() {
    #[derive(Default)]
    struct Log(String);
    impl<'a> Visitor<'a> for Log {
        fn begin_object(&mut self) {
            self.0.push('{');
        }
        fn end_object(&mut self) {
            self.0.push('}');
        }
        fn begin_array(&mut self) {
            self.0.push('[');
        }
        fn end_array(&mut self) {
            self.0.push(']');
        }
        fn key(&mut self, key: RawString<'a>) {
            self.0.extend(["key ", key.raw, " "]);
        }
        fn string(&mut self, string: RawString<'a>) {
            let escape = if string.has_escape { " escaped " } else { " " };
            self.0.extend(["string ", string.raw, escape]);
        }
        fn number(&mut self, number: &'a str) {
            self.0.extend(["number ", number, " "]);
        }
        fn literal(&mut self, literal: Literal) {
            self.0.push_str(match literal {
                Literal::True => "true ",
                Literal::False => "false ",
                Literal::Null => "null ",
            });
        }
    }
    let mut log = Log::default();
    scan(r#" [ "x" , "\n" , -1.5e3 , { "a" : null , "b" : [ ] } , true , false ] "#, 3, &mut log).unwrap();
    assert_eq!(log.0, r"[string x string \n escaped number -1.5e3 {key a null key b []}true false ]");
}
