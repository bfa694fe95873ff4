//! What the demonstration prints: what to type into a mail client, and commands that work as printed.

use std::path::Path;

use super::Login;
use crate::run::{Protocol, Server};

pub(super) fn welcome(server: &Server, logins: &[Login], home: &Path, certificate: &Path, temporary: bool) -> String {
    let port = |protocol| server.port(protocol).unwrap_or_default();
    let (imap, imaps, lmtp) = (port(Protocol::Imap), port(Protocol::Imaps), port(Protocol::Lmtp));
    let certificate = quoted(certificate);
    let fate = if temporary { "it goes when the server ends; keep one with --data DIR" } else { "it stays" };
    let mut text = format!(
        "\nPillarbox, a demonstration in {home}\n({fate})\n\n\
         For a mail client:\n\
         \x20 server    127.0.0.1\n\
         \x20 IMAP      port {imaps} with TLS, or port {imap} with STARTTLS or without encryption\n\
         \x20           (the certificate is self-signed: the client will ask, say yes)\n",
        home = home.display(),
    );
    for Login { name, password } in logins {
        text.push_str(&format!("  user      {name:<8}  password  {password}\n"));
    }
    if let Some(Login { name, password }) = logins.first() {
        text.push_str(&format!(
            "\nThe first message of {name}, and a session by hand (type `a LOGIN {name} {password}`):\n\
             \x20 curl --cacert {certificate} --user {name}:{password} 'imaps://127.0.0.1:{imaps}/INBOX;MAILINDEX=1'\n\
             \x20 openssl s_client -quiet -crlf -CAfile {certificate} -starttls imap -connect 127.0.0.1:{imap}\n",
        ));
    }
    text.push_str(&format!(
        "\nMail for {{alice,bob}}@anything comes in by LMTP at 127.0.0.1:{lmtp}. Ctrl-C ends the server.\n"
    ));
    text
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_the_shell() {
        assert_eq!(quoted(Path::new("/tmp/a-b.pem")), "/tmp/a-b.pem");
        assert_eq!(quoted(Path::new("/tmp/my mail/it's")), "'/tmp/my mail/it'\\''s'");
    }
}
