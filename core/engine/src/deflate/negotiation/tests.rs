use super::*;

fn answer_with(options: &PerMessageDeflate, lines: &[&str]) -> Answer {
    let lines = lines.iter().map(|line| line.as_bytes());
    let agreed = Terms::new(*options).negotiate(lines)?;
    Ok(agreed.map(|(_, header)| header))
}

fn answer(header: &str) -> Answer {
    answer_with(&PerMessageDeflate::default(), &[header])
}

type Answer = Result<Option<String>, MalformedHeader>;

#[expect(clippy::unnecessary_wraps, reason = "it is compared with answers")]
fn accepted(parameters: &str) -> Answer {
    Ok(Some(format!("{NAME}{parameters}")))
}

#[test]
fn an_offer_is_answered_with_its_own_parameters() {
    for parameters in [
        "",
        "; server_no_context_takeover",
        "; client_no_context_takeover",
        "; server_max_window_bits=8",
        "; client_max_window_bits=15",
        "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=10",
    ] {
        assert_eq!(answer(&format!("{NAME}{parameters}")), accepted(parameters));
    }
    assert_eq!(answer("permessage-deflate; client_max_window_bits"), accepted(""));
    let in_quotes = r#"permessage-deflate ;server_max_window_bits = "1\0" "#;
    assert_eq!(answer(in_quotes), accepted("; server_max_window_bits=10"));
}

#[test]
fn the_first_offer_that_can_be_accepted_is() {
    let offers = "permessage-bzip2; x=1, permessage-deflate; server_max_window_bits=16,
        permessage-deflate; client_max_window_bits=9, permessage-deflate";
    assert_eq!(answer(&offers.replace('\n', "")), accepted("; client_max_window_bits=9"));
    let lines = ["x-webkit-deflate-frame", "", "permessage-deflate; unknown", " permessage-deflate"];
    assert_eq!(answer_with(&PerMessageDeflate::default(), &lines), accepted(""));
}

#[test]
fn offers_that_section_7_1_forbids_are_declined() {
    for parameters in [
        "unknown",
        "server_no_context_takeover; server_no_context_takeover",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=+9",
        "server_max_window_bits=9.0",
        "server_max_window_bits=99999999999999999999",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=7",
        "client_max_window_bits=010",
        "client_max_window_bits; client_max_window_bits=10",
        "SERVER_NO_CONTEXT_TAKEOVER",
    ] {
        assert_eq!(answer(&format!("{NAME}; {parameters}")), Ok(None), "{parameters}");
        let another = format!("{NAME}; {parameters}, {NAME}");
        assert_eq!(answer(&another), accepted(""), "{parameters}");
    }
    assert_eq!(answer("x-webkit-deflate-frame, permessage-deflates"), Ok(None));
    assert_eq!(answer_with(&PerMessageDeflate::default(), &[]), Ok(None));
}

#[test]
fn a_header_that_is_none_fails() {
    for header in [
        ";",
        "=",
        "permessage-deflate;",
        "permessage-deflate; =",
        "permessage-deflate; a=",
        "permessage-deflate; a b",
        "permessage-deflate b",
        "permessage-deflate; a=\"\"",
        "permessage-deflate; a=\"b",
        "permessage-deflate; a=\"b\\",
        "permessage-deflate; a=\"b c\"",
        "permessage-deflate; a=\"b\"c",
        "permessage-deflate, (",
        "permessage-deflate; a=\u{e9}",
    ] {
        assert_eq!(answer(header), Err(MalformedHeader), "{header}");
    }
    let terms = Terms::new(PerMessageDeflate::default());
    assert!(terms.negotiate([&b"a\xff"[..]]).is_err());
}

#[test]
fn the_servers_options_decide() {
    let usual = PerMessageDeflate::default();
    let offer = "permessage-deflate; client_max_window_bits";
    let answer = |options: PerMessageDeflate, offer: &str| answer_with(&options, &[offer]);

    let alone = PerMessageDeflate {
        server_no_context_takeover: Some(true),
        client_no_context_takeover: true,
        ..usual
    };
    assert_eq!(answer(alone, offer), accepted("; server_no_context_takeover; client_no_context_takeover"));

    let kept = PerMessageDeflate { server_no_context_takeover: Some(false), ..usual };
    assert_eq!(answer(kept, offer), accepted(""));
    assert_eq!(answer(kept, "permessage-deflate; server_no_context_takeover"), Ok(None));

    let ten = WindowBits::Exactly(10);
    let small = PerMessageDeflate { server_max_window_bits: ten, client_max_window_bits: ten, ..usual };
    let both = accepted("; server_max_window_bits=10; client_max_window_bits=10");
    assert_eq!(answer(small, offer), both);
    assert_eq!(
        answer(small, "permessage-deflate; server_max_window_bits=12; client_max_window_bits=11"),
        both
    );
    assert_eq!(
        answer(small, "permessage-deflate; server_max_window_bits=9; client_max_window_bits"),
        Ok(None)
    );
    assert_eq!(answer(small, "permessage-deflate; client_max_window_bits=9"), Ok(None));
    assert_eq!(answer(small, "permessage-deflate"), Ok(None));

    let full = WindowBits::Full;
    let large = PerMessageDeflate { server_max_window_bits: full, client_max_window_bits: full, ..usual };
    assert_eq!(answer(large, "permessage-deflate; client_max_window_bits=10"), accepted(""));
    assert_eq!(answer(large, "permessage-deflate; server_max_window_bits=15"), Ok(None));
}

#[test]
fn without_memory_for_their_window_clients_compress_each_message_by_itself() {
    let terms = Terms::new(PerMessageDeflate { max_memory: 33 << 10, ..PerMessageDeflate::default() });
    let agree = |offer: &str| terms.negotiate([offer.as_bytes()]).unwrap().unwrap();
    let (first, header) = agree(NAME);
    assert_eq!((header.as_str(), terms.memory.reserved()), (NAME, 32 << 10));
    let (second, header) = agree("permessage-deflate; client_max_window_bits=10");
    assert_eq!(header, "permessage-deflate; client_max_window_bits=10");
    assert_eq!(terms.memory.reserved(), 33 << 10);
    let (third, header) = agree(NAME);
    assert_eq!(header, "permessage-deflate; client_no_context_takeover");
    drop((first, second, third));
    assert_eq!(terms.memory.reserved(), 0);
}
