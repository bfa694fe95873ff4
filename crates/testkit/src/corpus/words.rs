//! Words, names and the charsets in which people write them.

use base64::Engine;
use encoding_rs::Encoding;

use super::rng::Rng;

/// A language and its charsets.
#[derive(Debug)]
pub(super) struct Language {
    pub(super) words: &'static [&'static str],
    pub(super) names: &'static [&'static str],
    pub(super) charsets: &'static [&'static str],
}

impl Language {
    /// A word for a header: plain where it can be, else an encoded word (RFC 2047), now and then
    /// raw UTF-8 (RFC 6532).
    pub(super) fn word(&self, word: &str, rng: &mut Rng) -> String {
        if word.is_ascii() || rng.below(20) == 0 {
            return word.to_owned();
        }
        let charset = rng.pick(self.charsets).copied().unwrap_or("utf-8");
        let encoding = Encoding::for_label(charset.as_bytes()).unwrap_or(encoding_rs::UTF_8);
        let (octets, ..) = encoding.encode(word);
        if rng.below(2) == 0 {
            return format!("=?{charset}?B?{}?=", base64::engine::general_purpose::STANDARD.encode(&octets));
        }
        let quoted: String = octets.iter().map(|b| format!("={b:02X}")).collect();
        format!("=?{charset}?Q?{quoted}?=")
    }
}

pub(super) static ENGLISH: Language = Language {
    words: &["meeting", "tomorrow", "invoice", "the", "a", "please", "find", "attached", "report", "thanks", "regards"],
    names: &["Ann Example", "Bob Example", "Carol Jones"],
    charsets: &["us-ascii", "utf-8"],
};

pub(super) static LANGUAGES: &[Language] = &[
    Language { words: ENGLISH.words, names: ENGLISH.names, charsets: ENGLISH.charsets },
    Language {
        words: &["Grüße", "Straße", "morgen", "früh", "Rechnung", "überfällig", "der", "die", "das", "Mühe", "schön"],
        names: &["Jörg Müller", "Zoë Weiß", "Änne Groß"],
        charsets: &["iso-8859-1", "utf-8", "windows-1252"],
    },
    Language {
        words: &["привет", "завтра", "встреча", "счёт", "отчёт", "и", "на", "большое", "спасибо", "письмо"],
        names: &["Иван Петров", "Ольга Смирнова"],
        charsets: &["koi8-r", "windows-1251", "utf-8", "iso-8859-5"],
    },
    Language {
        words: &["こんにちは", "会議", "明日", "請求書", "添付", "ファイル", "よろしく", "お願い", "します"],
        names: &["山田太郎", "鈴木花子"],
        charsets: &["iso-2022-jp", "shift_jis", "euc-jp", "utf-8"],
    },
    Language {
        words: &["你好", "会议", "明天", "发票", "附件", "谢谢", "请", "查收", "报告"],
        names: &["王小明", "李华"],
        charsets: &["gb18030", "gb2312", "utf-8"],
    },
    Language {
        words: &["καλημέρα", "αύριο", "συνάντηση", "τιμολόγιο", "ευχαριστώ", "και", "το"],
        names: &["Γιώργος Παπαδόπουλος", "Ελένη"],
        charsets: &["iso-8859-7", "utf-8"],
    },
    Language {
        words: &["مرحبا", "غدا", "اجتماع", "فاتورة", "شكرا", "مرفق"],
        names: &["أحمد", "فاطمة"],
        charsets: &["windows-1256", "utf-8"],
    },
    Language {
        words: &["안녕하세요", "회의", "내일", "청구서", "첨부", "감사합니다"],
        names: &["김철수", "이영희"],
        charsets: &["euc-kr", "utf-8"],
    },
];
