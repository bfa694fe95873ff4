//! What an import asks of the other server, one method for each. Nothing is used that an IMAP4rev1 server of 1996 does
//! not have, unless the server says that it can.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use message::parse_date;
use types::{DateTime, Flags, IdSet, Uid};

use super::connection::{Connection, Listener};
use super::response::{Answer, Counted, Fetched, Listed, Namespace, Response, Status, capabilities};
use super::{Failure, Login, Security, Server};

/// Messages of one mailbox; a server that tells of more is broken.
const MAX_MESSAGES: usize = 20_000_000;

/// Mailboxes of which a server may tell.
const MAX_MAILBOXES: usize = 100_000;

/// A connection that is logged in.
pub(super) struct Session {
    connection: Connection,
    capabilities: HashSet<String>,
    tag: u32,
}

/// A mailbox that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Opened {
    pub(super) exists: u32,
    /// 0 where the server has none.
    pub(super) uid_validity: u32,
    pub(super) uid_next: Option<Uid>,
}

/// What there is to know of a message without its content.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Message {
    /// One for all messages that have the same.
    pub(super) flags: Option<Arc<Flags>>,
    pub(super) internal_date: Option<DateTime>,
    /// In octets; some servers only guess it.
    pub(super) size: Option<u64>,
}

/// The messages of a mailbox.
pub(super) type Messages = BTreeMap<Uid, Message>;

/// The user's own mailboxes, those of others, and shared ones.
pub(super) type Namespaces = [Vec<Namespace>; 3];

/// A command as it is sent: what stands behind the first waits each time until the server asks for it.
struct Command(Vec<Vec<u8>>);

impl Command {
    fn new(words: &str) -> Self {
        Self(vec![words.into()])
    }

    fn push(&mut self, octets: &[u8]) {
        if let Some(last) = self.0.last_mut() {
            last.extend_from_slice(octets);
        }
    }

    /// A string, in quotes where it can be.
    fn string(mut self, octets: &[u8]) -> Self {
        self.push(b" ");
        if octets.iter().any(|octet| !matches!(octet, b' '..=b'~')) || octets.len() > 1000 {
            // RFC 3501 §4.3. Never LITERAL+, which the server may not have.
            self.push(format!("{{{}}}\r\n", octets.len()).as_bytes());
            self.0.push(octets.to_vec());
            return self;
        }
        self.push(b"\"");
        for &octet in octets {
            if matches!(octet, b'"' | b'\\') {
                self.push(b"\\");
            }
            self.push(&[octet]);
        }
        self.push(b"\"");
        self
    }
}

impl Session {
    /// Connects and logs in.
    pub(super) async fn open(server: &Server) -> Result<Self, Failure> {
        let mut connection = Connection::open(server).await?;
        let greeting = connection.response(&mut |_| {}).await?;
        let answer = match greeting {
            Response::Status(answer) => answer,
            Response::Bye(answer) => return Err(Failure::bye(answer)),
            _ => return Err(Failure::Fatal("that is no IMAP server".into())),
        };
        let mut session = Self { connection, capabilities: HashSet::new(), tag: 0 };
        session.learn_capabilities(&answer).await?;
        if server.security == Security::StartTls {
            if answer.status == Status::Preauth {
                return Err(Failure::Fatal("the server allows no STARTTLS: it has logged us in already".into()));
            }
            session.done("STARTTLS").await?;
            session.connection = session.connection.with_tls(server).await?;
            session.ask_capabilities().await?;
        }
        if answer.status != Status::Preauth {
            let answer = session.login(server).await?;
            session.learn_capabilities(&answer).await?;
        }
        Ok(session)
    }

    async fn login(&mut self, server: &Server) -> Result<Answer, Failure> {
        let (user, secret) = (server.user.as_bytes(), server.secret.expose());
        let has = |name: &str| self.capabilities.contains(name);
        let authenticate = |mechanism: &str, message: &[u8]| {
            Command(vec![format!("AUTHENTICATE {mechanism}\r\n").into(), BASE64.encode(message).into_bytes()])
        };
        let command = match server.login {
            Login::Token if has("AUTH=OAUTHBEARER") || !has("AUTH=XOAUTH2") => {
                // RFC 7628 §3.1; `,` and `=` in a name are written otherwise (RFC 5801 §4).
                let user = server.user.replace('=', "=3D").replace(',', "=2C");
                let message = [b"n,a=", user.as_bytes(), b",\x01auth=Bearer ", secret, b"\x01\x01"].concat();
                authenticate("OAUTHBEARER", &message)
            }
            Login::Token => {
                authenticate("XOAUTH2", &[b"user=", user, b"\x01auth=Bearer ", secret, b"\x01\x01"].concat())
            }
            // RFC 4616 §2
            Login::Password if has("AUTH=PLAIN") => authenticate("PLAIN", &[b"\0", user, b"\0", secret].concat()),
            Login::Password if has("LOGINDISABLED") => {
                return Err(Failure::Fatal("the server takes no passwords on this connection: use TLS".into()));
            }
            Login::Password => Command::new("LOGIN").string(user).string(secret),
        };
        let answer = self.run(command, &mut |_| {}).await?;
        match answer.status {
            Status::Ok | Status::Preauth => Ok(answer),
            Status::No | Status::Bad if answer.is_for_later() => Err(Failure::Refused(answer)),
            Status::No | Status::Bad => Err(Failure::Fatal(format!("cannot log in: {}", answer.text))),
        }
    }

    /// As the server has told them with its answer, or else as it does when asked.
    async fn learn_capabilities(&mut self, answer: &Answer) -> Result<(), Failure> {
        if answer.code == "CAPABILITY" {
            self.capabilities = capabilities(&answer.argument).into_iter().collect();
            return Ok(());
        }
        self.ask_capabilities().await
    }

    async fn ask_capabilities(&mut self) -> Result<(), Failure> {
        let mut found = vec![];
        let take = &mut |response| {
            if let Response::Capability(names) = response {
                found = names;
            }
        };
        self.run(Command::new("CAPABILITY"), take).await?;
        self.capabilities = found.into_iter().collect();
        Ok(())
    }

    /// RFC 2342; nothing where the server does not say.
    pub(super) async fn namespaces(&mut self) -> Result<Option<Namespaces>, Failure> {
        let mut found = None;
        if self.capabilities.contains("NAMESPACE") {
            let take = &mut |response| {
                if let Response::Namespace(namespaces) = response {
                    found = Some(namespaces);
                }
            };
            self.run(Command::new("NAMESPACE"), take).await?;
        }
        Ok(found)
    }

    /// All mailboxes, with their uses where the server knows them.
    pub(super) async fn mailboxes(&mut self) -> Result<Vec<Listed>, Failure> {
        let has = |name: &str| self.capabilities.contains(name);
        if has("SPECIAL-USE") && has("LIST-EXTENDED") {
            // RFC 6154 §2: a plain LIST may leave them out.
            let (answer, listed) = self.list(Command::new("LIST \"\" \"*\" RETURN (SPECIAL-USE)")).await?;
            if answer.status == Status::Ok {
                return Ok(listed);
            }
        }
        let (answer, listed) = self.list(Command::new("LIST \"\" \"*\"")).await?;
        answer.done().map(|()| listed)
    }

    /// The names that are subscribed; nothing where the server does not say.
    pub(super) async fn subscriptions(&mut self) -> Result<Option<Vec<Listed>>, Failure> {
        let (answer, listed) = self.list(Command::new("LSUB \"\" \"*\"")).await?;
        Ok((answer.status == Status::Ok).then_some(listed))
    }

    async fn list(&mut self, command: Command) -> Result<(Answer, Vec<Listed>), Failure> {
        let mut listed = vec![];
        let take = &mut |response| {
            if let Response::List(one) = response
                && listed.len() < MAX_MAILBOXES
            {
                listed.push(one);
            }
        };
        let answer = self.run(command, take).await?;
        Ok((answer, listed))
    }

    /// How many messages are in a mailbox, and its UIDVALIDITY, as far as the server says so.
    pub(super) async fn count(&mut self, name: &[u8]) -> Result<Counted, Failure> {
        let mut command = Command::new("STATUS").string(name);
        command.push(b" (MESSAGES UIDVALIDITY)");
        let mut counted = Counted::default();
        let take = &mut |response| {
            if let Response::Counted(found) = response {
                counted = found;
            }
        };
        self.run(command, take).await?;
        Ok(counted)
    }

    /// Opens a mailbox for reading; nothing changes there.
    pub(super) async fn examine(&mut self, name: &[u8]) -> Result<Opened, Failure> {
        let mut opened = Opened::default();
        let take = &mut |response| match response {
            Response::Exists(exists) => opened.exists = exists,
            Response::Status(answer) => match &*answer.code {
                "UIDVALIDITY" => opened.uid_validity = answer.argument.trim().parse().unwrap_or(0),
                "UIDNEXT" => opened.uid_next = answer.argument.trim().parse().ok().and_then(Uid::new),
                _ => {}
            },
            _ => {}
        };
        let answer = self.run(Command::new("EXAMINE").string(name), take).await?;
        answer.done().map(|()| opened)
    }

    /// What there is to know of all messages of the mailbox that is open.
    pub(super) async fn messages(&mut self) -> Result<Messages, Failure> {
        let (mut found, mut sets) = (Messages::new(), HashSet::new());
        // RFC822.SIZE makes some servers open every message, and one of them may be broken.
        for items in ["(UID FLAGS INTERNALDATE RFC822.SIZE)", "(UID FLAGS)"] {
            let mut overflow = false;
            let take = &mut |response| {
                let Response::Fetch(Fetched { uid: Some(uid), flags, internal_date, size, .. }) = response else {
                    return;
                };
                overflow |= found.len() >= MAX_MESSAGES;
                if !overflow {
                    let flags = flags.map(|flags| shared(&mut sets, flags));
                    let internal_date = internal_date.as_deref().and_then(parse_date);
                    found.entry(uid).or_insert(Message { flags, internal_date, size });
                }
            };
            let answer = self.run(Command::new(&format!("UID FETCH 1:* {items}")), take).await?;
            if overflow {
                return Err(Failure::Fatal(format!("the server tells of more than {MAX_MESSAGES} messages")));
            }
            if answer.status == Status::Ok {
                break;
            }
            if answer.is_for_later() || items == "(UID FLAGS)" {
                return Err(Failure::Refused(answer));
            }
        }
        Ok(found)
    }

    /// Whether a message is still there.
    pub(super) async fn is_there(&mut self, uid: Uid) -> Result<bool, Failure> {
        let mut found = false;
        let take = &mut |response| {
            if let Response::Fetch(fetched) = response {
                found |= fetched.uid == Some(uid);
            }
        };
        self.run(Command::new(&format!("UID FETCH {uid} (UID FLAGS)")), take).await?;
        Ok(found)
    }

    /// The Message-ID fields of these messages.
    pub(super) async fn message_ids(&mut self, uids: &IdSet<Uid>) -> Result<BTreeMap<Uid, Vec<u8>>, Failure> {
        let mut found = BTreeMap::new();
        let take = &mut |response| {
            if let Response::Fetch(Fetched { uid: Some(uid), header: Some(header), .. }) = response {
                found.insert(uid, header);
            }
        };
        let command = format!("UID FETCH {uids} (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])");
        self.run(Command::new(&command), take).await?.done().map(|()| found)
    }

    /// Messages as they are, to `listener`. RFC 3501 §6.4.5: BODY.PEEK does not set `\Seen`.
    pub(super) async fn fetch(&mut self, uids: &IdSet<Uid>, listener: &mut dyn Listener) -> Result<Answer, Failure> {
        let command = format!("UID FETCH {uids} (UID FLAGS INTERNALDATE BODY.PEEK[])");
        self.run(Command::new(&command), listener).await
    }

    /// Says good-bye; whether the server hears it does not matter.
    pub(super) async fn logout(mut self) {
        let _ = self.done("LOGOUT").await;
    }

    async fn done(&mut self, command: &str) -> Result<(), Failure> {
        self.run(Command::new(command), &mut |_| {}).await?.done()
    }

    /// Sends a command and waits for its end.
    async fn run(&mut self, command: Command, listener: &mut dyn Listener) -> Result<Answer, Failure> {
        self.tag = self.tag.wrapping_add(1);
        let tag = format!("p{}", self.tag);
        let Command(parts) = command;
        let mut parts = parts.into_iter();
        let mut line = format!("{tag} ").into_bytes();
        line.extend(parts.next().unwrap_or_default());
        loop {
            if parts.len() == 0 {
                line.extend_from_slice(b"\r\n");
            }
            self.connection.send(&line).await?;
            loop {
                match self.connection.response(listener).await? {
                    Response::Tagged(of, answer) if of == tag => return Ok(answer),
                    Response::Bye(answer) if !line.ends_with(b"LOGOUT\r\n") => return Err(Failure::bye(answer)),
                    Response::Continue(_) => break,
                    Response::Tagged(..) => {}
                    other => listener.response(other)?,
                }
            }
            // RFC 3501 §6.2.2: `*` gives up an exchange in which we have nothing left to say.
            line = parts.next().unwrap_or_else(|| b"*".to_vec());
        }
    }
}

fn shared(sets: &mut HashSet<Arc<Flags>>, flags: Flags) -> Arc<Flags> {
    if let Some(known) = sets.get(&flags) {
        return Arc::clone(known);
    }
    let new = Arc::new(flags);
    sets.insert(Arc::clone(&new));
    new
}

impl Answer {
    fn done(self) -> Result<(), Failure> {
        match self.status {
            Status::Ok | Status::Preauth => Ok(()),
            Status::No | Status::Bad => Err(Failure::Refused(self)),
        }
    }

    /// Whether it may be otherwise in a while (RFC 5530).
    pub(super) fn is_for_later(&self) -> bool {
        ["UNAVAILABLE", "INUSE", "LIMIT", "OVERQUOTA", "THROTTLED", "SERVERBUG"].contains(&&*self.code)
    }
}
