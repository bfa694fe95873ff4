//! What users do with their devices.

use std::collections::BTreeSet;

use super::promises::{KEEP, own_keyword};
use super::told::{Numbers, Then};
use super::wire::set;
use super::{Device, Dial, Gone};
use crate::fault_disk::Random;

/// The names that mailboxes get. INBOX and Archive stay.
const NAMES: [&str; 6] = ["INBOX", "Archive", "Work", "Lists", "Drafts", "Work/Old"];

/// From here nothing with [`KEEP`] is removed.
const SAFE: &str = "Archive";

const FLAGS: [&str; 6] = ["\\Seen", "\\Deleted", "\\Flagged", "\\Answered", "$x", "$y"];

/// What the user did without a connection.
#[derive(Clone, Debug)]
pub(super) enum Offline {
    /// Set or took away a flag of a message that was then at this mod-sequence.
    Flag { name: String, validity: u32, uid: u32, add: bool, flag: String, base: u64 },
    /// Wrote a draft.
    Draft { name: String },
}

/// What becomes of a command.
enum Fate {
    /// Its answer is read.
    Heard,
    /// Its answer is read later; more may be sent meanwhile.
    Unread,
    /// The connection is lost before the answer; whether it was carried out the device does not know.
    Lost,
    /// The connection is lost in the middle of the command.
    Cut,
}

impl Device {
    /// Does one thing, online or not.
    pub async fn act(&mut self, dial: &mut Dial<'_>, chance: &mut Random) -> Result<(), Gone> {
        let done = match &self.online {
            None if chance.chance(2) => return self.act_offline(chance),
            None => match self.connect(dial).await {
                Ok(()) => self.replay_offline().await,
                Err(gone) => Err(gone),
            },
            Some(_) => self.act_online(chance).await,
        };
        done.or_else(|gone| self.gone(gone))
    }

    fn act_offline(&mut self, chance: &mut Random) -> Result<(), Gone> {
        let at = chance.below(self.kept.len().max(1) as u64) as usize;
        let Some((name, kept)) = self.kept.iter().nth(at) else { return Ok(()) };
        let name = name.clone();
        let at = chance.below(kept.messages.len().max(1) as u64) as usize;
        let act = match kept.messages.iter().nth(at) {
            Some((&uid, message)) if chance.below(4) > 0 => {
                let (validity, base) = (kept.validity, message.modseq);
                let flag = FLAGS[if name == SAFE { 0 } else { chance.below(6) as usize }].to_owned();
                Offline::Flag { name, validity, uid, add: chance.chance(2), flag, base }
            }
            _ => Offline::Draft { name },
        };
        self.offline.push(act);
        Ok(())
    }

    /// RFC 4549 §3: what was done offline is done now.
    pub(super) async fn replay_offline(&mut self) -> Result<(), Gone> {
        while let Some(act) = self.offline.first().cloned() {
            match act {
                Offline::Draft { name } => {
                    drop(self.ask(&format!("APPEND {name} (\\Draft) {}", literal("draft"))).await?)
                }
                Offline::Flag { name, validity, uid, add, flag, base } => {
                    let open = self.selected().is_some_and(|selected| selected.name == name && selected.writable);
                    let open = open || self.open(&name).await?;
                    let writable = self.selected().is_some_and(|selected| selected.writable);
                    if open && writable && self.here().is_some_and(|kept| kept.validity == validity) {
                        self.replay_flag(uid, add, flag, base).await?;
                    }
                }
            }
            self.offline.remove(0);
        }
        Ok(())
    }

    async fn replay_flag(&mut self, uid: u32, add: bool, flag: String, base: u64) -> Result<(), Gone> {
        let now = self.here().and_then(|kept| kept.messages.get(&uid)).map(|message| message.modseq);
        let condition =
            if self.strategy.counts_changes() { format!(" (UNCHANGEDSINCE {base})") } else { String::new() };
        let command = format!("UID STORE {uid}{condition} {}FLAGS.SILENT ({flag})", sign(add));
        let then = Then::Silent { uids: [uid].into(), add, flag };
        let reply = self.ask_then(&command, then).await?;
        // RFC 7162 §3.1.3: it fails if and only if the message was changed after that.
        if let (true, true, Some(now)) = (self.alone, self.strategy.counts_changes(), now) {
            assert_eq!(!reply.modified.is_empty(), now > base, "{command}: the message was at {now}");
        }
        if let (true, Some(message)) = (reply.modified.is_empty(), self.here().and_then(|kept| kept.messages.get(&uid)))
        {
            // What comes next was done knowing of this.
            let known = message.modseq;
            for act in &mut self.offline {
                match act {
                    Offline::Flag { uid: other, base: b, .. } if *other == uid && *b == base => *b = known,
                    _ => {}
                }
            }
        }
        self.fetch_new().await
    }

    async fn act_online(&mut self, chance: &mut Random) -> Result<(), Gone> {
        // Behind answers that are unread only what does not depend on them is sent.
        if !self.online()?.owed.is_empty() {
            let closes = self.online()?.owed.iter().any(|asked| matches!(asked.then, Then::Close));
            if chance.chance(3) && !closes && !self.online()?.idling && self.selected().is_some() {
                let command = ["NOOP", "UID SEARCH ALL", "UID FETCH 1:* (FLAGS)"][chance.below(3) as usize];
                return self.send(command, Then::Nothing).await;
            }
            if chance.chance(8) {
                self.lose();
                return Ok(());
            }
            return self.hear_all().await;
        }
        if chance.chance(14) {
            self.lose();
            return Ok(());
        }
        if self.selected().is_none() || chance.chance(12) {
            return self.open(NAMES[chance.below(6) as usize]).await.map(drop);
        }
        let Some((command, then)) = self.command(chance) else { return Ok(()) };
        let fate = match chance.below(16) {
            0 => Fate::Lost,
            1 => Fate::Cut,
            2 | 3 => Fate::Unread,
            _ => Fate::Heard,
        };
        self.carry_out(&command, then, &fate, chance).await
    }

    async fn carry_out(&mut self, command: &str, then: Then, fate: &Fate, chance: &mut Random) -> Result<(), Gone> {
        let idle = command == "IDLE";
        match fate {
            Fate::Heard if !idle => {
                self.ask_then(command, then).await?;
                self.fetch_new().await
            }
            Fate::Cut => {
                let octets = format!("x {command}\r\n");
                let cut = chance.below(octets.len() as u64) as usize;
                self.promises.asked(&then);
                self.online()?.wire.send(&octets.as_bytes()[..cut]).await?;
                self.leave_unheard().await;
                Ok(())
            }
            Fate::Heard | Fate::Unread => {
                self.send(command, then).await?;
                self.online()?.idling = idle;
                Ok(())
            }
            Fate::Lost => {
                self.send(command, then).await?;
                self.leave_unheard().await;
                Ok(())
            }
        }
    }

    /// The server may read what was sent before it notices.
    async fn leave_unheard(&mut self) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        self.lose();
    }

    /// A command that has messages to work on.
    fn command(&self, chance: &mut Random) -> Option<(String, Then)> {
        let online = self.online.as_ref()?;
        let able = |name: &str| online.capabilities.contains(name);
        let anywhere = NAMES[chance.below(6) as usize];
        let plain = |command: String| Some((command, Then::Nothing));
        let writable = self.selected()?.writable;
        match chance.below(if writable { 30 } else { 8 }) {
            0 => plain("NOOP".into()),
            1 => plain("IDLE".into()),
            2 | 3 => plain(format!("{} (FLAGS)", self.which("FETCH", chance)?)),
            4 if self.strategy.counts_changes() => {
                let vanished = if self.strategy.vanishes() { " VANISHED" } else { "" };
                let modseq = self.here()?.modseq.max(1);
                plain(format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq}{vanished})"))
            }
            4 | 5 => plain("UID SEARCH UNSEEN".into()),
            6 => self.append(chance),
            7 => self.mailboxes(chance),
            8 => plain(format!("{} (BODY[TEXT])", self.which("FETCH", chance)?)),
            9 | 10 => plain("EXPUNGE".into()),
            11 => plain(format!("UID EXPUNGE {}", set(Some(self.some(chance)).filter(|some| !some.is_empty())?))),
            12..=14 => self.append(chance),
            15 => plain(format!("{} {anywhere}", self.which("COPY", chance)?)),
            16 | 17 => plain(format!("{} {anywhere}", self.which("MOVE", chance)?)),
            18 if able("REPLACE") => {
                let uid = *self.some(chance).first()?;
                plain(format!("UID REPLACE {uid} {anywhere} (\\Draft) {}", literal("replaced")))
            }
            19 => Some(("CLOSE".into(), Then::Close)),
            20 => Some(("UNSELECT".into(), Then::Close)),
            21 | 22 => self.own(chance),
            _ => self.store(chance),
        }
    }

    /// Some messages of the selected mailbox that may go.
    fn some(&self, chance: &mut Random) -> Vec<u32> {
        let Some(kept) = self.here() else { return vec![] };
        let may_go: Vec<u32> =
            kept.messages.iter().filter(|(_, message)| !message.flags.contains(KEEP)).map(|(uid, _)| *uid).collect();
        let skip = chance.below(may_go.len().max(1) as u64) as usize;
        let mut some: Vec<u32> = may_go.into_iter().skip(skip).take(1 + chance.below(4) as usize).collect();
        if chance.chance(3) && some.len() > 2 {
            some.remove(1);
        }
        some
    }

    /// A command with some messages, by UID or by number.
    fn which(&self, verb: &str, chance: &mut Random) -> Option<String> {
        let uids = self.some(chance);
        let by_uid = set(uids.iter().copied());
        match &self.selected()?.numbers {
            Numbers::Known(numbers) if chance.chance(2) => {
                let number = |uid: &u32| Some(numbers.iter().position(|known| *known == Some(*uid))? as u32 + 1);
                let by_number = set(uids.iter().filter_map(number));
                (!by_number.is_empty()).then(|| format!("{verb} {by_number}"))
            }
            _ => (!by_uid.is_empty()).then(|| format!("UID {verb} {by_uid}")),
        }
    }

    fn store(&self, chance: &mut Random) -> Option<(String, Then)> {
        let uids: BTreeSet<u32> = self.some(chance).into_iter().collect();
        let (add, flag) = (chance.below(3) > 0, FLAGS[chance.below(6) as usize]);
        let silent = chance.chance(2);
        let condition = match chance.below(3) {
            0 if self.strategy.counts_changes() => format!(" (UNCHANGEDSINCE {})", self.here()?.modseq),
            _ => String::new(),
        };
        let suffix = if silent { ".SILENT" } else { "" };
        let command = format!("UID STORE {}{condition} {}FLAGS{suffix} ({flag})", set(uids.iter().copied()), sign(add));
        if uids.is_empty() {
            return None;
        }
        let command = match &self.selected()?.numbers {
            Numbers::Known(numbers) if chance.chance(2) => {
                let number = |uid: &u32| Some(numbers.iter().position(|known| *known == Some(*uid))? as u32 + 1);
                let by_number = set(uids.iter().filter_map(number));
                format!("STORE {by_number}{condition} {}FLAGS{suffix} ({flag})", sign(add))
            }
            _ => command,
        };
        Some((command, if silent { Then::Silent { uids, add, flag: flag.to_owned() } } else { Then::Nothing }))
    }

    /// The device's own keyword, by which it can tell what became of its command.
    fn own(&self, chance: &mut Random) -> Option<(String, Then)> {
        let kept = self.here()?;
        let at = chance.below(kept.messages.len().max(1) as u64) as usize;
        let (&uid, _) = kept.messages.iter().nth(at)?;
        let (validity, keyword, add) = (kept.validity, own_keyword(self.number), chance.below(3) > 0);
        Some((format!("UID STORE {uid} {}FLAGS ({keyword})", sign(add)), Then::Own { validity, uid, keyword, add }))
    }

    fn append(&self, chance: &mut Random) -> Option<(String, Then)> {
        let name = NAMES[chance.below(6) as usize];
        Some(match chance.below(4) {
            0 => (format!("APPEND {SAFE} ({KEEP}) {}", literal("keep")), Then::Append { keep: true }),
            1 => (format!("APPEND {name} {} {}", literal("one"), literal("two")), Then::Append { keep: false }),
            2 => (format!("APPEND {name} (\\Deleted $x) {}", literal("deleted")), Then::Append { keep: false }),
            _ => (format!("APPEND {name} {}", literal("new")), Then::Append { keep: false }),
        })
    }

    /// Mailboxes come, go, and get other names.
    fn mailboxes(&self, chance: &mut Random) -> Option<(String, Then)> {
        let name = |chance: &mut Random| NAMES[2 + chance.below(4) as usize];
        let command = match chance.below(6) {
            0..=2 => format!("CREATE {}", name(chance)),
            3 => format!("DELETE {}", name(chance)),
            4 => format!("RENAME {} {}", name(chance), name(chance)),
            _ => format!("RENAME INBOX {}", name(chance)),
        };
        Some((command, Then::Nothing))
    }
}

fn sign(add: bool) -> char {
    if add { '+' } else { '-' }
}

/// A small message.
fn literal(subject: &str) -> String {
    let message = format!("Subject: {subject}\r\n\r\ntext\r\n");
    format!("{{{}+}}\r\n{message}", message.len())
}
