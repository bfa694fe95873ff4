//! Tests of the fragmenter: each stream in pieces of every size.

use proptest::prelude::*;

use super::*;

fn limits() -> Limits {
    Limits { command_size: 100, command_size_before_login: 60, literal_size: 30, drain_size: 6000, ..Limits::default() }
}

/// What the server comes to when `input` arrives in pieces of `size` octets: it accepts the
/// messages of APPENDs whose head has an "x", and expects lines after IDLE.
fn run(input: &[u8], size: usize, literals: NonSyncLiterals) -> Vec<String> {
    let mut fragmenter = Fragmenter::new(&limits(), literals);
    fragmenter.logged_in();
    let mut seen = Vec::new();
    let mut message = Vec::new();
    for piece in input.chunks(size) {
        fragmenter.input().extend_from_slice(piece);
        while let Some(event) = fragmenter.next_event() {
            let event = event.map(|run| String::from_utf8_lossy(run).into_owned());
            match &event {
                Event::Octets(octets) => {
                    assert!(!octets.is_empty());
                    message.extend_from_slice(octets.as_bytes());
                    continue;
                }
                Event::Append(head) | Event::AppendNext(head) if head.contains('x') => fragmenter.accept(),
                Event::Command(command) if command.ends_with("IDLE") => fragmenter.expect_line(),
                _ => {}
            }
            if !message.is_empty() {
                seen.push(format!("message {:?}", String::from_utf8_lossy(&std::mem::take(&mut message))));
            }
            seen.push(match event {
                Event::Refused { tag, why } => {
                    format!("refused {} {why}", tag.map_or("*".into(), |t| t.to_string()))
                }
                Event::HangUp { tag, why } => {
                    format!("hang up {} {why}", tag.map_or("*".into(), |t| t.to_string()))
                }
                other => format!("{other:?}"),
            });
        }
        assert!(fragmenter.buffer.len() - fragmenter.start <= 100 + size);
    }
    seen
}

/// The same, whatever the pieces.
fn always_with(literals: NonSyncLiterals, input: &str, expected: &[&str]) {
    for size in 1..=input.len() {
        assert_eq!(run(input.as_bytes(), size, literals), expected, "in pieces of {size}");
    }
}

fn always(input: &str, expected: &[&str]) {
    always_with(NonSyncLiterals::Plus, input, expected);
}

#[test]
fn lines_with_crlf_and_with_lf() {
    always("a NOOP\r\nb NOOP\nc", &[r#"Command("a NOOP")"#, r#"Command("b NOOP")"#]);
    always("\r\n", &[r#"Command("")"#]);
    always("a NO\rOP\r\n", &[r#"Command("a NO\rOP")"#]);
}

#[test]
fn literals_are_part_of_their_command() {
    let whole = r#"Command("a LOGIN {5}\r\nsmith {3+}\r\na\nb")"#;
    always("a LOGIN {5}\r\nsmith {3+}\r\na\nb\r\nb NOOP\r\n", &["Continue", whole, r#"Command("b NOOP")"#]);
    always("a X {0}\r\n{0+}\r\n\r\n", &["Continue", r#"Command("a X {0}\r\n{0+}\r\n")"#]);
    // A literal that looks like a header is none.
    always("a X {4+}\r\n {9} y\r\n", &[r#"Command("a X {4+}\r\n {9} y")"#]);
    always("a X {3+}\r\n{9}\r\n", &[r#"Command("a X {3+}\r\n{9}")"#]);
}

#[test]
fn messages_stream() {
    always(
        "a APPEND x {5}\r\n12345\r\nb NOOP\r\n",
        &[r#"Append("a APPEND x {5}")"#, "Continue", r#"message "12345""#, "AppendEnd", r#"Command("b NOOP")"#],
    );
    always(
        "a append {1}\r\nx (\\Seen) ~{4+}\r\n{9}\n\r\n",
        &["Continue", r#"Append("a append {1}\r\nx (\\Seen) ~{4+}")"#, r#"message "{9}\n""#, "AppendEnd"],
    );
    // RFC 8508: REPLACE, where the mailbox is the second argument and can be a literal itself.
    always(
        "a REPLACE 1 {1}\r\nx {1}\r\ny\r\n",
        &["Continue", r#"Append("a REPLACE 1 {1}\r\nx {1}")"#, "Continue", r#"message "y""#, "AppendEnd"],
    );
    always(
        "a uid replace 1 x {3+}\r\n123\r\n",
        &[r#"Append("a uid replace 1 x {3+}")"#, r#"message "123""#, "AppendEnd"],
    );
    always(
        "a REPLACE 1 x {1+}\r\ny {2+}\r\nzz\r\nb NOOP\r\n",
        &[
            r#"Append("a REPLACE 1 x {1+}")"#,
            r#"message "y""#,
            "refused a the end of the line, or another message of an APPEND, should follow the message",
            r#"Command("b NOOP")"#,
        ],
    );
    always("a UID COPY 1 {1+}\r\nx\r\n", &[r#"Command("a UID COPY 1 {1+}\r\nx")"#]);
    // Without any message it is a command like others.
    always("a APPEND x\r\n", &[r#"Command("a APPEND x")"#]);
    // Larger than any other literal may be.
    let big = format!("a APPEND x {{500+}}\r\n{}\r\n", "y".repeat(500));
    let message = format!("message {:?}", "y".repeat(500));
    always(&big, &[r#"Append("a APPEND x {500+}")"#, &message, "AppendEnd"]);
    always("a APPEND x {0}\r\n\r\n", &[r#"Append("a APPEND x {0}")"#, "Continue", "AppendEnd"]);
}

// RFC 6855 §4
#[test]
fn messages_in_parentheses() {
    always(
        "a APPEND x UTF8 (~{1+}\r\nm) utf8 (~{2}\r\nno)\r\nb NOOP\r\n",
        &[
            r#"Append("a APPEND x UTF8 (~{1+}")"#,
            r#"message "m""#,
            r#"AppendNext(" utf8 (~{2}")"#,
            r#"refused a the message was refused"#,
            r#"Command("no)")"#,
            r#"Command("b NOOP")"#,
        ],
    );
    for (rest, end) in [(")", "AppendEnd"), (") ", "AppendEnd"), ("", AFTER), ("x", AFTER), ("))", AFTER)] {
        let message = [r#"Append("a APPEND x UTF8 (~{1+}")"#, r#"message "m""#, end];
        always(&format!("a APPEND x UTF8 (~{{1+}}\r\nm{rest}\r\n"), &message);
    }
    always("a APPEND x {1+}\r\nm)\r\n", &[r#"Append("a APPEND x {1+}")"#, r#"message "m""#, AFTER]);
}

const AFTER: &str = "refused a the end of the line, or another message of an APPEND, should follow the message";

#[test]
fn several_messages() {
    // RFC 3502 §6.3.11
    always(
        "a APPEND x {1+}\r\nm (x) {2}\r\nno \r\n",
        &[
            r#"Append("a APPEND x {1+}")"#,
            r#"message "m""#,
            r#"AppendNext(" (x) {2}")"#,
            "Continue",
            r#"message "no""#,
            "AppendEnd",
        ],
    );
    always(
        "a APPEND x {1+}\r\nmx\r\nb NOOP\r\n",
        &[
            r#"Append("a APPEND x {1+}")"#,
            r#"message "m""#,
            "refused a the end of the line, or another message of an APPEND, should follow the message",
            r#"Command("b NOOP")"#,
        ],
    );
}

#[test]
fn refused_messages() {
    // The client that waits is told at once; nothing has to be skipped.
    always(
        "a APPEND y {5}\r\nb NOOP\r\n",
        &[r#"Append("a APPEND y {5}")"#, "refused a the message was refused", r#"Command("b NOOP")"#],
    );
    always(
        "a APPEND y {5+}\r\n1\r\n45\r\nb NOOP\r\n",
        &[r#"Append("a APPEND y {5+}")"#, "refused a the message was refused", r#"Command("b NOOP")"#],
    );
    // What would have followed is skipped, too, up to where the client waits.
    always(
        "a APPEND y {5+}\r\n12345 () {3+}\r\n123 {4}\r\nb NOOP\r\n",
        &[r#"Append("a APPEND y {5+}")"#, "refused a the message was refused", r#"Command("b NOOP")"#],
    );
    // The second of two.
    always(
        "a APPEND x {1+}\r\nm (y) {2+}\r\nno\r\nb NOOP\r\n",
        &[
            r#"Append("a APPEND x {1+}")"#,
            r#"message "m""#,
            r#"AppendNext(" (y) {2+}")"#,
            "refused a the message was refused",
            r#"Command("b NOOP")"#,
        ],
    );
}

/// Found by `any_split_gives_the_same`: the next line lent its tag to a refusal.
#[test]
fn a_refusal_without_a_tag_takes_none_from_what_follows() {
    always("( APPEND y {3+}\r\na b\r\n", &[r#"Append("( APPEND y {3+}")"#, "refused * the message was refused"]);
}

#[test]
fn both_sides_of_the_command_size() {
    let line = |n: usize| format!("a {}\r\nb NOOP\r\n", "x".repeat(n - 4));
    let fits = format!("Command(\"a {}\")", "x".repeat(96));
    always(&line(100), &[&fits, r#"Command("b NOOP")"#]);
    always(&line(101), &["refused a the command is longer than 100 octets", r#"Command("b NOOP")"#]);
    let literals = |n: usize| {
        format!("a X {{30+}}\r\n{} {{30+}}\r\n{} {}\r\n", "y".repeat(30), "z".repeat(30), "x".repeat(n - 82))
    };
    assert_eq!(literals(100).len(), 100);
    assert!(run(literals(100).as_bytes(), 7, NonSyncLiterals::Plus)[0].starts_with("Command"));
    always(&literals(101), &["refused a the command is longer than 100 octets"]);
    // Without a tag.
    always(&format!("{}\r\n", "(".repeat(101)), &["refused * the command is longer than 100 octets"]);
}

#[test]
fn strangers_get_less() {
    let mut f = Fragmenter::new(&limits(), NonSyncLiterals::Plus);
    f.input().extend_from_slice(format!("a {}\r\n", "x".repeat(57)).as_bytes());
    assert!(matches!(f.next_event(), Some(Event::Refused { why: Refusal::CommandTooLong(60), .. })));
    f.input().extend_from_slice(format!("a {}\r\n", "x".repeat(56)).as_bytes());
    assert!(matches!(f.next_event(), Some(Event::Command(_))));
    f.logged_in();
    f.input().extend_from_slice(format!("a {}\r\n", "x".repeat(57)).as_bytes());
    assert!(matches!(f.next_event(), Some(Event::Command(_))));
}

#[test]
fn both_sides_of_the_literal_size() {
    let sync = |n: usize| format!("a X {{{n}}}\r\n");
    always(&sync(30), &["Continue"]);
    always(&sync(31), &["refused a the literal is longer than 30 octets"]);
    let non_sync = |n: usize| format!("a X {{{n}+}}\r\n{}\r\nb NOOP\r\n", "y".repeat(n));
    let fits = format!("Command(\"a X {{30+}}\\r\\n{}\")", "y".repeat(30));
    always(&non_sync(30), &[&fits, r#"Command("b NOOP")"#]);
    always(&non_sync(31), &["refused a the literal is longer than 30 octets", r#"Command("b NOOP")"#]);
    always("a X {99999999999999999999}\r\n", &["refused a the literal is longer than 30 octets"]);
}

#[test]
fn both_sides_of_what_is_skipped() {
    // The line after the literal counts, too.
    let skipped = |n: usize| format!("a X {{{n}+}}\r\n{}\r\nb NOOP\r\n", "y".repeat(n));
    let ends = |n: usize| run(skipped(n).as_bytes(), 1000, NonSyncLiterals::Plus);
    assert_eq!(ends(5998), ["refused a the literal is longer than 30 octets", r#"Command("b NOOP")"#]);
    assert_eq!(ends(5999), ["hang up a the literal is longer than 30 octets"]);
    assert_eq!(ends(6001), ["hang up a the literal is longer than 30 octets"]);
    let line = |n: usize| format!("a {}\r\nb NOOP\r\n", "y".repeat(n - 4));
    let ends = |n: usize, size| run(line(n).as_bytes(), size, NonSyncLiterals::Plus);
    for size in [1, 7, 10_000] {
        assert_eq!(ends(6000, size), ["refused a the command is longer than 100 octets", r#"Command("b NOOP")"#]);
        assert_eq!(ends(6001, size), ["hang up a the command is longer than 100 octets"]);
    }
    always("a X {99999999999999999999+}\r\nb NOOP\r\n", &["hang up a the literal is longer than 30 octets"]);
}

#[test]
fn literal_minus_takes_4096_octets() {
    // RFC 7888 §5
    let append = |n: usize| format!("a APPEND x {{{n}+}}\r\n{}\r\n", "y".repeat(n));
    let ends = |n: usize| run(append(n).as_bytes(), 500, NonSyncLiterals::Minus);
    assert_eq!(ends(4096).len(), 3);
    assert_eq!(ends(4097), ["refused a a non-synchronizing literal cannot be longer than 4096 octets"]);
    assert_eq!(Refusal::NonSyncTooLong.code(), Some(Code::TooBig));
    always_with(NonSyncLiterals::Minus, "a APPEND x {4097}\r\n", &[r#"Append("a APPEND x {4097}")"#, "Continue"]);
}

#[test]
fn done_and_the_next_command_in_one_packet() {
    always("a IDLE\r\nDONE\r\nb NOOP\r\n", &[r#"Command("a IDLE")"#, r#"Line("DONE")"#, r#"Command("b NOOP")"#]);
    // A line is a line, whatever it looks like.
    always("a IDLE\r\nb X {5}\r\nb NOOP\r\n", &[r#"Command("a IDLE")"#, r#"Line("b X {5}")"#, r#"Command("b NOOP")"#]);
    let long = format!("a IDLE\r\n{}\r\nb NOOP\r\n", "x".repeat(99));
    always(&long, &[r#"Command("a IDLE")"#, "refused * the command is longer than 100 octets", r#"Command("b NOOP")"#]);
}

#[test]
fn starttls_forgets_what_was_pipelined() {
    let mut f = Fragmenter::new(&limits(), NonSyncLiterals::Plus);
    f.input().extend_from_slice(b"a STARTTLS\r\nb LOGIN x y\r\nc");
    assert_eq!(f.next_event(), Some(Event::Command(&b"a STARTTLS"[..])));
    f.discard();
    assert_eq!(f.next_event(), None);
    f.input().extend_from_slice(b"d NOOP\r\n");
    assert_eq!(f.next_event(), Some(Event::Command(&b"d NOOP"[..])));
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let mut f = Fragmenter::new(&limits(), NonSyncLiterals::Plus);
    f.input().extend_from_slice(b"a IDLE\r\nDO");
    assert!(f.next_event().is_some());
    f.expect_line();
    assert!(f.next_event().is_none());
    f.release();
    assert!(!f.is_empty());
    f.input().extend_from_slice(b"NE\r\n");
    assert_eq!(f.next_event(), Some(Event::Line(&b"DONE"[..])));
    f.release();
    assert!(f.is_empty() && f.buffer.capacity() == 0);
    f.input().extend_from_slice(b"b NOOP\r\n");
    assert_eq!(f.next_event(), Some(Event::Command(&b"b NOOP"[..])));
}

#[test]
fn many_empty_literals_cost_no_stack() {
    let limits = Limits { command_size: 1 << 20, ..limits() };
    let mut f = Fragmenter::new(&limits, NonSyncLiterals::Plus);
    f.logged_in();
    f.input().extend_from_slice(&[b"a X ".to_vec(), b"{0+}\r\n".repeat(100_000), b"\r\n".to_vec()].concat());
    assert!(matches!(f.next_event(), Some(Event::Command(_))));
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        input in "(a IDLE\r\n|a APPEND [xy] |\\{[0-9]{1,2}\\+?\\}\r\n|~\\{3\\+\\}\r\n|\r\n|\n|[ a-z]{1,9}|[x(]{60}){0,40}",
        size in 1usize..20,
        minus: bool,
    ) {
        let literals = if minus { NonSyncLiterals::Minus } else { NonSyncLiterals::Plus };
        let whole = run(input.as_bytes(), input.len().max(1), literals);
        prop_assert_eq!(run(input.as_bytes(), size, literals), whole);
    }

    #[test]
    fn arbitrary_octets_do_no_harm(input in any::<Vec<u8>>(), size in 1usize..20) {
        run(&input, size, NonSyncLiterals::Plus);
    }
}
