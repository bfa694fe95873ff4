//! An IMAP server as others have them: with as little as IMAP4rev1 demands, and with whatever is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use import::imap::{Login, Patience, Secret, Security, Server, Trust};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

#[derive(Clone, Debug)]
pub struct Message {
    pub uid: u32,
    pub flags: String,
    /// As it stands in the protocol.
    pub date: String,
    pub size: Option<usize>,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Mailbox {
    pub attributes: String,
    pub uid_validity: u32,
    pub uid_next: u32,
    pub subscribed: bool,
    pub messages: Vec<Message>,
}

/// What is wrong with it, and what it has been asked for.
#[derive(Default)]
pub struct State {
    pub greeting: String,
    pub capabilities: String,
    pub namespace: String,
    pub delimiter: String,
    /// By name as it stands in LIST.
    pub mailboxes: BTreeMap<String, Mailbox>,
    /// Answers from the last message to the first, with UID and FLAGS behind the content and news in between.
    pub backwards: bool,
    /// FETCH ends with NO where these are among the messages.
    pub broken: BTreeSet<u32>,
    /// These are listed and then gone.
    pub gone: BTreeSet<u32>,
    /// Whoever asks for these loses the connection.
    pub poison: BTreeSet<u32>,
    /// After so many messages the connection ends in the middle of one.
    pub cut_after: Vec<usize>,
    /// After so many messages it says nothing more.
    pub silent_after: Option<usize>,
    /// So often EXAMINE is answered with this.
    pub later: (usize, String),
    pub most_connections: Option<usize>,
    pub connections: usize,
    /// UIDs of all messages that were sent whole.
    pub sent: Vec<u32>,
    pub commands: Vec<String>,
}

pub struct Fake {
    pub state: Arc<Mutex<State>>,
    /// It has fallen silent.
    pub silent: Arc<Notify>,
    pub port: u16,
    pub certificate: tempfile::NamedTempFile,
}

pub fn mail(uid: u32) -> Message {
    let body =
        format!("Message-ID: <{uid}@x>\r\nDate: Fri, 13 Jan 2023 10:00:00 +0100\r\nSubject: {uid}\r\n\r\n{uid}\r\n");
    let date = format!("\"17-Jul-2020 02:{:02}:{:02} +0200\"", uid / 60 % 60, uid % 60);
    Message { uid, flags: "\\Seen".into(), date, size: None, body: body.into() }
}

pub fn mailbox(uid_validity: u32, messages: Vec<Message>) -> Mailbox {
    let uid_next = messages.last().map_or(1, |message| message.uid + 1);
    Mailbox { attributes: String::new(), uid_validity, uid_next, subscribed: true, messages }
}

pub fn state(mailboxes: impl IntoIterator<Item = (&'static str, Mailbox)>) -> State {
    State {
        greeting: "* OK hello".into(),
        capabilities: "IMAP4rev1".into(),
        delimiter: "\"/\"".into(),
        mailboxes: mailboxes.into_iter().map(|(name, mailbox)| (name.to_owned(), mailbox)).collect(),
        ..State::default()
    }
}

impl Fake {
    pub async fn new(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, silent) = (Arc::new(Mutex::new(state)), Arc::new(Notify::new()));
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(certificate.path(), made.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        let fake = Self { state: Arc::clone(&state), silent: Arc::clone(&silent), port, certificate };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, silent, tls) = (Arc::clone(&state), Arc::clone(&silent), tls.clone());
                tokio::spawn(async move {
                    let mut session = Session { state, silent, mailbox: None };
                    let mut stream = BufReader::new(stream);
                    if session.serve(&mut stream, true).await == End::Tls {
                        let stream = tls.accept(stream.into_inner()).await.unwrap();
                        session.serve(&mut BufReader::new(stream), false).await;
                    }
                    session.state.lock().connections -= 1;
                });
            }
        });
        fake
    }

    /// How to reach it: in the clear, and without waiting.
    pub fn server(&self) -> Server {
        Server {
            host: "127.0.0.1".into(),
            port: self.port,
            security: Security::Insecure,
            trust: Trust::File(self.certificate.path().to_owned()),
            user: "ann".into(),
            secret: Secret::new(b"se\"cret".to_vec()),
            login: Login::Password,
            silence: Duration::from_secs(60),
            patience: Patience { first: Duration::ZERO, most: Duration::ZERO, attempts: 3 },
        }
    }

    pub fn sent(&self) -> Vec<u32> {
        std::mem::take(&mut self.state.lock().sent)
    }

    pub fn commands(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().commands)
    }
}

#[derive(PartialEq, Eq)]
enum End {
    Closed,
    Tls,
}

struct Session {
    state: Arc<Mutex<State>>,
    silent: Arc<Notify>,
    mailbox: Option<String>,
}

impl Session {
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut BufReader<S>, greet: bool) -> End {
        if greet {
            let greeting = {
                let mut state = self.state.lock();
                state.connections += 1;
                let full = state.most_connections.is_some_and(|most| state.connections > most);
                if full { "* BYE [LIMIT] too many".into() } else { state.greeting.clone() }
            };
            stream.write_all(format!("{greeting}\r\n").as_bytes()).await.unwrap();
            if greeting.starts_with("* BYE") {
                return End::Closed;
            }
        }
        while let Some(line) = command(stream).await {
            let (tag, words) = line.split_once(' ').unwrap();
            self.state.lock().commands.push(words.to_owned());
            let upper = words.to_ascii_uppercase();
            if upper.starts_with("UID FETCH") {
                if self.fetch(stream, tag, words).await.is_none() {
                    return End::Closed;
                }
                continue;
            }
            if upper == "AUTHENTICATE PLAIN" {
                stream.write_all(b"+ \r\n").await.unwrap();
                let message = command(stream).await.unwrap();
                self.state.lock().commands.push(message);
            }
            let mut answer = self.answer(words, &upper);
            answer.push_str(&match answer.ends_with('!') {
                true => format!("\r\n{tag} {}\r\n", self.state.lock().later.1),
                false => format!("{tag} OK done\r\n"),
            });
            if stream.write_all(answer.as_bytes()).await.is_err() || upper == "LOGOUT" {
                return End::Closed;
            }
            if upper == "STARTTLS" {
                return End::Tls;
            }
        }
        End::Closed
    }

    fn answer(&mut self, words: &str, upper: &str) -> String {
        let mut state = self.state.lock();
        let quoted = words
            .split_once('"')
            .map_or(words.rsplit(' ').next().unwrap(), |(_, rest)| rest.split('"').next().unwrap());
        let list = |subscribed: bool| -> String {
            let some = state.mailboxes.iter().filter(|(_, mailbox)| !subscribed || mailbox.subscribed);
            let line = |(name, mailbox): (&String, &Mailbox)| {
                let word = if subscribed { "LSUB" } else { "LIST" };
                format!("* {word} ({}) {} \"{name}\"\r\n", mailbox.attributes, state.delimiter)
            };
            some.map(line).collect()
        };
        match upper.split(' ').next().unwrap() {
            "CAPABILITY" => format!("* CAPABILITY {}\r\n", state.capabilities),
            "NAMESPACE" => format!("* NAMESPACE {}\r\n", state.namespace),
            "LIST" => list(false),
            "LSUB" => list(true),
            "STATUS" => {
                let Mailbox { messages, uid_validity, .. } = &state.mailboxes[quoted];
                format!("* STATUS \"{quoted}\" (MESSAGES {} UIDVALIDITY {uid_validity}) \r\n", messages.len())
            }
            "EXAMINE" => {
                if let Some(left) = state.later.0.checked_sub(1) {
                    state.later.0 = left;
                    return "* OK wait!".into();
                }
                self.mailbox = Some(quoted.to_owned());
                let mailbox = &state.mailboxes[quoted];
                let (exists, validity, next) = (mailbox.messages.len(), mailbox.uid_validity, mailbox.uid_next);
                format!(
                    "* {exists} EXISTS\r\n* 0 RECENT\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY {validity}]\r\n* OK [UIDNEXT {next}] x\r\n"
                )
            }
            _ => String::new(),
        }
    }

    /// `None` where the connection ends.
    async fn fetch<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, tag: &str, words: &str) -> Option<()> {
        let (set, items) = words["UID FETCH ".len()..].split_once(' ').unwrap();
        let (messages, backwards, broken) = self.chosen(set);
        let bodies = items.contains("BODY.PEEK[]");
        let mut refused = false;
        for (n, message) in messages {
            let Message { uid, flags, date, size, body } = message;
            let size = size.unwrap_or(body.len());
            if !bodies {
                let header = format!("Message-ID: <{uid}@x>\r\n\r\n");
                let line = match items.contains("HEADER") {
                    true => format!(
                        "* {n} FETCH (BODY[HEADER.FIELDS (MESSAGE-ID)] {{{}}}\r\n{header} UID {uid})\r\n",
                        header.len()
                    ),
                    false => {
                        format!("* {n} FETCH (UID {uid} FLAGS ({flags}) INTERNALDATE {date} RFC822.SIZE {size})\r\n")
                    }
                };
                stream.write_all(line.as_bytes()).await.ok()?;
                continue;
            }
            let (cut, silent) = {
                let mut state = self.state.lock();
                if state.poison.contains(&uid) {
                    return None;
                }
                if state.gone.contains(&uid) {
                    continue;
                }
                let sent = state.sent.len();
                let cut = state.cut_after.first() == Some(&sent);
                if cut {
                    state.cut_after.remove(0);
                }
                (cut, state.silent_after == Some(sent))
            };
            if broken.contains(&uid) {
                refused = true;
                continue;
            }
            if silent {
                self.silent.notify_one();
                std::future::pending::<()>().await;
            }
            let news = format!("* 99 EXISTS\r\n* {n} FETCH (FLAGS (\\Seen))\r\n* OK still here {{5}}\r\n");
            let (before, after) = match backwards {
                true => (news, format!(" INTERNALDATE {date} FLAGS ({flags}) UID {uid}")),
                false => (String::new(), String::new()),
            };
            let front =
                if backwards { String::new() } else { format!("UID {uid} FLAGS ({flags}) INTERNALDATE {date} ") };
            stream
                .write_all(format!("{before}* {n} FETCH ({front}BODY[] {{{}}}\r\n", body.len()).as_bytes())
                .await
                .ok()?;
            if cut {
                stream.write_all(&body[..body.len() / 2]).await.ok()?;
                return None;
            }
            stream.write_all(&body).await.ok()?;
            stream.write_all(format!("{after})\r\n").as_bytes()).await.ok()?;
            self.state.lock().sent.push(uid);
        }
        let end = if refused { "NO [EXPUNGEISSUED] some are broken" } else { "OK done" };
        stream.write_all(format!("{tag} {end}\r\n").as_bytes()).await.ok()
    }

    fn chosen(&self, set: &str) -> (Vec<(usize, Message)>, bool, BTreeSet<u32>) {
        let state = self.state.lock();
        let mailbox = &state.mailboxes[self.mailbox.as_ref().unwrap()];
        let asked = |uid: u32| {
            set.split(',').any(|range| {
                let (first, last) = range.split_once(':').unwrap_or((range, range));
                let last = if last == "*" { u32::MAX } else { last.parse().unwrap() };
                (first.parse().unwrap()..=last).contains(&uid)
            })
        };
        let all = mailbox.messages.iter().enumerate();
        let mut chosen: Vec<_> =
            all.filter(|(_, message)| asked(message.uid)).map(|(at, message)| (at + 1, message.clone())).collect();
        let gone_now = set.contains(['*', ':', ',']);
        chosen.retain(|(_, message)| gone_now || !state.gone.contains(&message.uid));
        if state.backwards {
            chosen.reverse();
        }
        (chosen, state.backwards, state.broken.clone())
    }
}

/// A line, with the literals in it.
async fn command<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end_matches("\r\n");
        let Some((before, size)) = line.strip_suffix('}').and_then(|line| line.rsplit_once('{')) else {
            all.push_str(line);
            return Some(all);
        };
        stream.write_all(b"+ go on\r\n").await.ok()?;
        let mut literal = vec![0; size.parse().unwrap()];
        stream.read_exact(&mut literal).await.ok()?;
        all.push_str(&format!("{before}\"{}\"", String::from_utf8_lossy(&literal)));
    }
}
