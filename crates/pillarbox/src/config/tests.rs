use super::*;

fn error(text: &str) -> String {
    format!("{:#}", Config::parse(text).unwrap_err())
}

/// The defaults as far as they are valid: IMAPS needs a certificate.
const QUIET: &str = "imaps.listen = []\n";

#[test]
fn the_example_is_the_defaults() {
    let example: Config = toml::from_str(EXAMPLE).unwrap();
    assert_eq!(example, Config::default());
    assert_eq!(example.limits(), Limits::default());
}

#[test]
fn the_example_names_every_option_and_only_those() {
    // The options that have no default stand in comments; with them the file must parse, too.
    let is_option =
        |line: &&str| line.strip_prefix("# ").is_some_and(|rest| rest.contains(" = \"") && !rest.contains(". "));
    let options: Vec<_> = EXAMPLE.lines().filter(is_option).collect();
    assert_eq!(options.len(), 4, "{options:?}");
    let all: String =
        EXAMPLE.lines().map(|l| if is_option(&l) { format!("{}\n", &l[2..]) } else { format!("{l}\n") }).collect();
    let config = Config::parse(&all).unwrap();
    assert_eq!(config.hostname.as_deref(), Some("mail.example.org"));
    assert_eq!(config.lmtp.socket.as_deref(), Some(Path::new("/run/pillarbox/lmtp")));
    for name in LimitsTable::NAMES {
        assert!(EXAMPLE.contains(&format!("\n{name} = ")), "{name} is not in the example");
    }
    // serde lists the options of a table when it meets an unknown one.
    for table in ["", "store", "tls", "imap", "imaps", "lmtp", "accounts", "quota", "retention", "log"] {
        let header = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        let message = error(&format!("{header}nonsense_zzz = 1"));
        let listed = message.split("expected").nth(1).unwrap();
        for name in listed.split('`').skip(1).step_by(2) {
            assert!(all.contains(&format!("\n{name} = ")) || all.contains(&format!("\n[{name}]\n")), "{table}.{name}");
        }
    }
}

#[test]
fn the_documentation_shows_the_example() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = fs::read_to_string(path).unwrap();
    assert!(
        page.contains(&format!("```toml\n{EXAMPLE}```\n")),
        "docs/configuration.md does not show pillarbox.toml as it is"
    );
}

#[test]
fn an_unknown_key_has_a_line_a_column_and_a_hint() {
    let message = error("[store]\npath = \"x\"\n[imap]\n  lisen = []\n");
    assert!(message.contains("line 4, column 3"), "{message}");
    assert!(message.contains("unknown field `lisen`"), "{message}");
    assert!(message.contains("Did you mean `listen`?"), "{message}");
    assert!(error("[limits]\nmesage_size = 1\n").contains("Did you mean `message_size`?"));
    assert!(!error("[limits]\nquantum = 1\n").contains("Did you mean"));
    assert!(error("[imapx]\n").contains("Did you mean `imap`"));
}

#[test]
fn wrong_values_are_named() {
    assert!(error("[limits]\nmessage_size = \"lots\"").contains("a size such as"));
    assert!(error("[store]\nreclaim_share = 0").contains("percent from 1 to 100"));
    assert!(error("[store]\nreclaim_share = 101").contains("percent from 1 to 100"));
    assert!(error("[limits]\nlogin_timeout = -1").contains("negative"));
    assert!(error("[imap]\nlisten = [\"localhost:143\"]").contains("line 2"));
    assert!(error("[lmtp]\nsocket_mode = \"9\"").contains("octal"));
    assert!(error("[log]\nlevel = \"loud\"").contains("`info`"));
    assert!(error("[tls]\nkey = \"x\"").contains("tls.certificate is not"));
    assert!(error("imap.disabled_capabilities = [\"IDEL\"]").contains("\"IDEL\" is no capability"));
    assert!(error("imap.disabled_capabilities = [\"IDEL\"]").contains("IDLE, "));
    assert!(error("").contains("tls.certificate"));
    assert!(error(&format!("{QUIET}limits.idle_timeout = \"29m\"")).contains("30m"));
    assert!(error(&format!("{QUIET}store.copy_interval = \"59s\"")).contains("1m"));
    assert!(error(&format!("{QUIET}lmtp.listen = [\"127.0.0.1:25\"]")).contains("port 25"));
    assert!(error(&format!("{QUIET}accounts.folders = [{{ name = \"a*\" }}]")).contains("wildcards"));
    assert!(error(&format!("{QUIET}accounts.folders = [{{ name = \"a\", use = \"Sent\" }}]")).contains("Sent"));
}

#[test]
fn values_arrive() {
    let config =
        Config::parse(&format!("{QUIET}limits.message_size = \"10 MB\"\nlimits.login_timeout = \"2m\"\n")).unwrap();
    assert_eq!(config.limits().message_size, 10_000_000);
    assert_eq!(config.limits().login_timeout.as_secs(), 120);
    assert_eq!(config.folders().unwrap().len(), 5);
    let copies = config.engine_options().copies.unwrap();
    assert_eq!((copies.every.as_secs(), copies.keep), (3600, 3));
    let none = Config::parse(&format!("{QUIET}store.copies = 0\n")).unwrap();
    assert_eq!(none.engine_options().copies, None);
    assert_eq!(config.socket_mode(), 0o660);
}

#[test]
fn quotas() {
    let text = "quota = { storage = \"5 GB\", messages = 1000, mailboxes = \"none\", warnings = [90] }\n\
                imap.quota_administrators = [\"Admin\"]\nlmtp.over_quota = \"permanent\"\n";
    let config = Config::parse(&format!("{QUIET}{text}")).unwrap();
    let quota = config.store_options().unwrap().quota;
    assert_eq!(quota.defaults, Resources { storage: Some(4_882_813), message: Some(1000), ..Resources::default() });
    assert_eq!(quota.administrators, [AccountName::new("admin").unwrap()]);
    assert_eq!((quota.warnings, config.lmtp.over_quota), (vec![90], Refusal::Permanent));
    assert!(error(&format!("{QUIET}quota.warnings = [0]")).contains("percentages"));
    assert!(error(&format!("{QUIET}quota.storage = \"nothing\"")).contains("a size such as"));
    assert!(error(&format!("{QUIET}quota.messages = -1")).contains("line 2"));
    assert!(error(&format!("{QUIET}imap.quota_administrators = [\"a b\"]")).contains("quota_administrators"));
    assert!(error(&format!("{QUIET}lmtp.over_quota = \"never\"")).contains("`temporary`"));
}

#[test]
fn relative_paths_start_at_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pillarbox.toml");
    fs::write(&path, "quota.warning_command = [\"warn\", \"x\"]\nstore.path = \"mail\"\ntls = { certificate = \"c.pem\", key = \"/k.pem\" }\n").unwrap();
    let config = Config::read(&path).unwrap();
    assert_eq!(config.store.path, directory.path().join("mail"));
    assert_eq!(config.quota.warning_command, [directory.path().join("warn"), PathBuf::from("x")]);
    let certificate = directory.path().join("c.pem");
    assert_eq!(config.tls().unwrap(), Some((certificate.as_path(), Path::new("/k.pem"))));
}
