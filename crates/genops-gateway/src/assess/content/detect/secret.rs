//! Keys: those of services, by the prefixes that the services give them so that they can be found, and
//! private keys, by the line that they begin with.
//!
//! A prefix alone is none: what follows has to have the length and the letters of a key, and to look drawn by
//! lot. Keys without a prefix of their own are not found.

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;

use super::super::{Place, Problem};

/// The form of the keys of a service.
#[derive(Debug, Clone, Copy)]
struct Form {
    prefix: &'static str,
    /// What follows the prefix.
    of: Of,
    /// The fewest and the most characters of that. Where a dot is one of them, after which a key may begin
    /// too, the most has to be few: they are looked through from each dot.
    length: (usize, usize),
}

/// The characters that a key is made of.
#[derive(Debug, Clone, Copy)]
enum Of {
    /// Capitals and the digits 2 to 7.
    Base32,
    /// Letters and digits.
    Alphanumeric,
    /// Letters, digits, `-`, `_`.
    Word,
    /// Letters, digits, `-`, `_`, `.`.
    Dotted,
}

/// No limit by the service.
const ANY: usize = usize::MAX;

const FORMS: [Form; 31] = [
    Form { prefix: "sk-", of: Of::Word, length: (20, ANY) }, // Anthropic, OpenAI, OpenRouter, DeepSeek and others
    Form { prefix: "sk_live_", of: Of::Alphanumeric, length: (16, ANY) }, // Stripe
    Form { prefix: "sk_test_", of: Of::Alphanumeric, length: (16, ANY) },
    Form { prefix: "rk_live_", of: Of::Alphanumeric, length: (16, ANY) },
    Form { prefix: "rk_test_", of: Of::Alphanumeric, length: (16, ANY) },
    Form { prefix: "whsec_", of: Of::Alphanumeric, length: (24, ANY) },
    Form { prefix: "AKIA", of: Of::Base32, length: (16, 16) }, // Amazon
    Form { prefix: "ASIA", of: Of::Base32, length: (16, 16) },
    Form { prefix: "AIza", of: Of::Word, length: (35, 35) }, // Google
    Form { prefix: "GOCSPX-", of: Of::Word, length: (28, 28) },
    Form { prefix: "ya29.", of: Of::Word, length: (30, ANY) },
    Form { prefix: "ghp_", of: Of::Alphanumeric, length: (36, ANY) }, // GitHub
    Form { prefix: "gho_", of: Of::Alphanumeric, length: (36, ANY) },
    Form { prefix: "ghu_", of: Of::Alphanumeric, length: (36, ANY) },
    Form { prefix: "ghs_", of: Of::Alphanumeric, length: (36, ANY) },
    Form { prefix: "ghr_", of: Of::Alphanumeric, length: (36, ANY) },
    Form { prefix: "github_pat_", of: Of::Word, length: (40, ANY) },
    Form { prefix: "glpat-", of: Of::Dotted, length: (20, 400) }, // GitLab
    Form { prefix: "hf_", of: Of::Alphanumeric, length: (34, 40) }, // Hugging Face
    Form { prefix: "xoxa-", of: Of::Word, length: (20, ANY) },    // Slack
    Form { prefix: "xoxb-", of: Of::Word, length: (20, ANY) },
    Form { prefix: "xoxe-", of: Of::Word, length: (20, ANY) },
    Form { prefix: "xoxp-", of: Of::Word, length: (20, ANY) },
    Form { prefix: "xoxr-", of: Of::Word, length: (20, ANY) },
    Form { prefix: "xoxs-", of: Of::Word, length: (20, ANY) },
    Form { prefix: "xapp-", of: Of::Word, length: (20, ANY) },
    Form { prefix: "gsk_", of: Of::Alphanumeric, length: (40, ANY) }, // Groq
    Form { prefix: "xai-", of: Of::Alphanumeric, length: (60, ANY) }, // xAI
    Form { prefix: "npm_", of: Of::Alphanumeric, length: (36, 36) },
    Form { prefix: "pypi-", of: Of::Word, length: (80, ANY) },
    Form { prefix: "SG.", of: Of::Dotted, length: (60, 80) }, // SendGrid
];

/// What a JSON web token begins with: `{"` in base64.
const TOKEN: &str = "eyJ";

/// Finds the keys of services.
#[derive(Debug)]
pub struct ApiKeys {
    /// The prefixes of [`FORMS`], in their order, and [`TOKEN`].
    prefixes: AhoCorasick,
}

impl ApiKeys {
    /// Makes it ready; `None` where that is not possible, for a reason that is among the `problems` then.
    pub fn compile(problems: &mut Vec<Problem>) -> Option<Self> {
        let prefixes = FORMS.iter().map(|form| form.prefix).chain([TOKEN]);
        match AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(prefixes) {
            Ok(prefixes) => Some(Self { prefixes }),
            Err(error) => {
                let message = format!("the prefixes of keys cannot be looked for: {error}; report this");
                problems.push(Problem::new(Place::Rules, &message));
                None
            }
        }
    }

    /// How many keys and tokens a text holds.
    pub fn count(&self, text: &str) -> u64 {
        let bytes = text.as_bytes();
        let (mut count, mut done) = (0_u64, 0_usize);
        for prefix in self.prefixes.find_iter(bytes) {
            // A key begins where a word does: so none is looked through from each of its places.
            let (Some(before), Some(rest)) = (bytes.get(..prefix.start()), bytes.get(prefix.end()..)) else {
                break;
            };
            if prefix.start() < done || before.last().is_some_and(|last| Of::Word.has(*last)) {
                continue;
            }
            let found = match FORMS.get(prefix.pattern().as_usize()) {
                Some(form) => form.key(rest),
                None => token(rest),
            };
            if let Some(length) = found {
                count = count.saturating_add(1);
                done = prefix.end().saturating_add(length);
            }
        }
        count
    }
}

impl Of {
    const fn has(self, byte: u8) -> bool {
        match self {
            Self::Base32 => matches!(byte, b'A'..=b'Z' | b'2'..=b'7'),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Dotted => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
        }
    }

    /// What of it stands here in a row, `most` at most.
    fn run(self, text: &[u8], most: usize) -> &[u8] {
        let text = text.get(..most).unwrap_or(text);
        let end = text.iter().position(|byte| !self.has(*byte));
        end.and_then(|end| text.get(..end)).unwrap_or(text)
    }
}

impl Form {
    /// The length of the key whose prefix stands before `rest`.
    fn key(self, rest: &[u8]) -> Option<usize> {
        let run = self.of.run(rest, self.length.1.saturating_add(1));
        let ends = rest.get(run.len()).is_none_or(|next| !Of::Word.has(*next));
        let fits = (self.length.0..=self.length.1).contains(&run.len());
        (ends && fits && looks_drawn(run, self.of)).then_some(run.len())
    }
}

/// Whether it looks drawn by lot: twelve letters and digits in a row that are not all of one sort. Words
/// joined by dashes are shorter or hold no digit; `xxxx…` stands for a key and is none.
fn looks_drawn(run: &[u8], of: Of) -> bool {
    if matches!(of, Of::Base32) {
        return run.iter().any(|byte| Some(byte) != run.first());
    }
    run.split(|byte| !byte.is_ascii_alphanumeric()).filter(|part| part.len() >= 12).any(|part| {
        let digit = part.iter().any(u8::is_ascii_digit);
        let (upper, lower) =
            (part.iter().any(u8::is_ascii_uppercase), part.iter().any(u8::is_ascii_lowercase));
        let mixed = part.len() >= 20 && upper && lower;
        mixed || (digit && (upper || lower))
    })
}

/// The length of the rest of a JSON web token that is signed: three parts, the second an object like the
/// first.
fn token(rest: &[u8]) -> Option<usize> {
    let head = Of::Word.run(rest, ANY);
    let claims = rest.get(head.len()..)?.strip_prefix(b".")?.strip_prefix(TOKEN.as_bytes())?;
    let claims_run = Of::Word.run(claims, ANY);
    let signature = Of::Word.run(claims.get(claims_run.len()..)?.strip_prefix(b".")?, ANY);
    let fits = head.len() >= 10 && claims_run.len() >= 5 && signature.len() >= 20;
    fits.then(|| head.len() + claims_run.len() + signature.len() + TOKEN.len() + 2)
}

/// How many private keys a text holds, by the lines that they begin with.
pub fn count_private_keys(text: &str) -> u64 {
    memmem::find_iter(text.as_bytes(), BEGIN).filter(|at| is_private(text.as_bytes(), *at)).count() as u64
}

const BEGIN: &[u8] = b"-----BEGIN ";
/// The most bytes between that and the dashes at the end: `ENCRYPTED PRIVATE KEY`, `PGP PRIVATE KEY BLOCK`.
const LABEL_MAX: usize = 48;

fn is_private(text: &[u8], at: usize) -> bool {
    let Some(after) = text.get(at.saturating_add(BEGIN.len())..) else { return false };
    let after = after.get(..LABEL_MAX).unwrap_or(after);
    let Some(end) = memmem::find(after, b"-----") else { return false };
    let label = after.get(..end).unwrap_or_default();
    let is_label = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ';
    let label_ends = label.ends_with(b"PRIVATE KEY") || label.ends_with(b"PRIVATE KEY BLOCK");
    label.iter().all(is_label) && label_ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> u64 {
        ApiKeys::compile(&mut Vec::new()).unwrap().count(text)
    }

    /// A key that none is: the letters and digits of a row, put together here so that nothing here looks like
    /// one to those who look through repositories.
    fn key(prefix: &str, length: usize) -> String {
        let row = b"aB3dE6fGh1JkLm2NoPq4RsTu5VwXy7Z8c9";
        let drawn = (0..length).map(|at| char::from(row[(at * 7 + at / row.len()) % row.len()]));
        format!("{prefix}{}", drawn.collect::<String>())
    }

    #[test]
    fn keys_of_services_are_found() {
        let token = format!("{}.{}.{}", key("eyJ", 33), key("eyJ", 60), key("", 43));
        let upper = |prefix: &str| format!("{prefix}{}", "IOSFODNN7EQWRTYU");
        let cases = [
            key("sk-", 48),
            key("sk-proj-", 48) + "_" + &key("", 60) + "-" + &key("", 40),
            key("sk-ant-api03-", 60) + "-" + &key("", 32),
            key("sk-svcacct-", 74),
            format!("sk-or-v1-{}", "0123456789abcdef".repeat(4)),
            format!("sk-{}", "0123456789abcdef".repeat(2)),
            key("sk_live_", 24),
            key("rk_test_", 99),
            upper("AKIA"),
            upper("ASIA"),
            key("AIza", 35),
            key("GOCSPX-", 28),
            key("ya29.", 90),
            key("ghp_", 36),
            key("gho_", 36),
            key("ghs_", 36),
            key("github_pat_", 22) + "_" + &key("", 59),
            key("glpat-", 20),
            key("glpat-", 27) + ".01.120" + &key("", 7),
            key("hf_", 34),
            key("xoxb-123456789012-1234567890123-", 24),
            key("xoxp-123456789012-123456789012-123456789012-", 32),
            key("xapp-1-A0123456789-1234567890123-", 64),
            key("gsk_", 52),
            key("xai-", 80),
            key("npm_", 36),
            key("pypi-", 120),
            key("SG.", 22) + "." + &key("", 43),
            token,
        ];
        for case in &cases {
            assert_eq!(count(case), 1, "{case}");
            for (before, after) in [
                ("key=", ""),
                ("\"", "\","),
                ("Bearer ", "\r\n"),
                ("密钥", "。"),
                ("(", ")."),
                ("https://x/?k=", "&y=1"),
            ] {
                assert_eq!(count(&format!("{before}{case}{after}")), 1, "{before}{case}{after}");
            }
        }
        assert_eq!(count(&cases.join("\n")), cases.len() as u64);
        assert_eq!(count(&cases.join(",")), cases.len() as u64);
    }

    #[test]
    fn what_stands_within_a_token_is_not_counted_again() {
        let part = key("eyJ", 33);
        assert_eq!(count(&[&*part; 5].join(".")), 1);
        assert_eq!(count(&[&*part; 6].join(".")), 2);
    }

    #[test]
    fn what_may_begin_within_itself_is_bounded() {
        let dotted = FORMS.iter().filter(|form| matches!(form.of, Of::Dotted));
        assert!(dotted.into_iter().all(|form| form.length.1 <= 400));
    }

    #[test]
    fn words_code_and_stand_ins_are_no_keys() {
        let cases = [
            "sk-",
            "sk-...",
            "sk-your-api-key-here-please-1",
            "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "sk-folding-cube-container-large-screen-2",
            "sk-internationalization-of-everything",
            "The risk-adjusted-return-of-2024-portfolios12345678",
            "task-1234567890abcdef1234567890abcdef",
            "sk-SK locale, sk-abc123",
            "disk-1a2b3c4d5e6f7a8b9c0d1e2f",
            "AKIA is the prefix",
            "AKIAIOSFODNN7",
            "AKIAAAAAAAAAAAAAAAAA",
            "AKIAIOSFODNN7EXAMPLETOOLONG",
            "AKIAIOSFODNN7EXAMPL1",
            "AKIAIOSFODNN7EXAMPLE1",
            "MALAYSIAAAAABBBBBCCCCC",
            "AIza",
            "ghp_short",
            "ghp_this_is_a_function_name_of_forty_letters",
            "let ghs_value_of_something_rather_long_indeed1 = 1;",
            "github_pat_from_env_or_file_or_the_secret_store_1",
            "glpat-is-how-gitlab-tokens-begin-2024",
            "hf_hub_download(repo_id, filename)",
            "hf_internal_testing_tiny_random_model_3",
            "xoxo-hugs-and-kisses-from-everyone-2024",
            "xoxb-see-the-documentation-of-slack-apps",
            "eyJ",
            "eyJhbGciOiJIUzI1NiJ9",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0",
            "eyJhbGciOiJIUzI1NiJ9.not.a.token",
            "550e8400-e29b-41d4-a716-446655440000",
            "d41d8cd98f00b204e9800998ecf8427e",
            "npm_config_registry npm_package_version_1_2_3_and_the_rest",
            "SG.1 SG.example.com",
            "pypi-publish-action-v1",
        ];
        for text in cases {
            assert_eq!(count(text), 0, "{text}");
        }
    }

    #[test]
    fn private_keys_are_found_by_the_line_that_they_begin_with() {
        let armour = |label: &str| format!("-----BEGIN {label}-----\nMIIE\n-----END {label}-----\n");
        let private = [
            "PRIVATE KEY",
            "RSA PRIVATE KEY",
            "EC PRIVATE KEY",
            "DSA PRIVATE KEY",
            "ED25519 PRIVATE KEY",
            "X25519 PRIVATE KEY",
            "ANY PRIVATE KEY",
            "TSS2 PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
            "SSH2 ENCRYPTED PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        ];
        for label in private {
            assert_eq!(count_private_keys(&armour(label)), 1, "{label}");
            let one_line = armour(label).replace('\n', "\\n");
            assert_eq!(count_private_keys(&format!("KEY=\"{one_line}\"")), 1, "{label}");
        }
        assert_eq!(count_private_keys(&private.map(armour).concat()), private.len() as u64);
    }

    #[test]
    fn other_armour_is_no_private_key() {
        let cases = [
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN CERTIFICATE REQUEST-----",
            "-----BEGIN PUBLIC KEY-----",
            "-----BEGIN RSA PUBLIC KEY-----",
            "-----BEGIN PGP PUBLIC KEY BLOCK-----",
            "-----BEGIN PGP MESSAGE-----",
            "-----BEGIN EC PARAMETERS-----",
            "-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY",
            "-----BEGIN -----",
            "BEGIN PRIVATE KEY",
            "-----BEGIN private key-----",
            "-----BEGIN THE STORY OF MY PRIVATE KEY AND OF ALL THE OTHERS-----",
            "----- BEGIN PRIVATE KEY -----",
            "the private key",
        ];
        for text in cases {
            assert_eq!(count_private_keys(text), 0, "{text}");
        }
    }
}
