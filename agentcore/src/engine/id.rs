//! Ids of durable jobs, and the names of tasks, which are a part of them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_core::de::Error as _;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

use crate::platform;

/// The most bytes of a task's name: what a queue's name may have in PostgreSQL.
pub(crate) const MOST_TASK_NAME_BYTES: usize = 57;

/// Says why `name` is no name of a durable task. A name has 1 to 57 ASCII letters, digits, `_`, `-` and `.`.
pub(crate) fn check_task_name(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.is_empty() || name.len() > MOST_TASK_NAME_BYTES || !name.bytes().all(fits) {
        return Err(format!(
            "{name:?} is no name of a durable task, which has 1 to {MOST_TASK_NAME_BYTES} letters, digits, `_`, `-` and `.`"
        ));
    }
    Ok(())
}

/// The id of a durable job: the name of its task and a number that no other job has.
///
/// Its text is the name, a colon and a UUID, such as `transcribe:019ad0c5-9d2b-7c31-a4c2-6d1f6f2b1f00`. In JSON it is a
/// string of that text. Any process that uses the same store finds the job by it. Ids can be guessed: they begin with the
/// time at which the job was submitted.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId {
    task: Arc<str>,
    number: u128,
}

impl JobId {
    pub(crate) fn new(task: Arc<str>, number: u128) -> Self {
        Self { task, number }
    }

    /// The stable name of the job's task.
    pub fn task(&self) -> &str {
        &self.task
    }

    pub(crate) fn task_name(&self) -> &Arc<str> {
        &self.task
    }

    pub(crate) fn number(&self) -> u128 {
        self.number
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.task, Uuid(self.number))
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

/// The error of a text that is no [`JobId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseJobIdError;

impl fmt::Display for ParseJobIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id of a durable job is the name of its task, a colon and a UUID")
    }
}

impl std::error::Error for ParseJobIdError {}

impl FromStr for JobId {
    type Err = ParseJobIdError;

    fn from_str(text: &str) -> Result<Self, ParseJobIdError> {
        let (task, number) = text.rsplit_once(':').ok_or(ParseJobIdError)?;
        check_task_name(task).map_err(|_| ParseJobIdError)?;
        let Uuid(number) = number.parse().map_err(|()| ParseJobIdError)?;
        Ok(Self::new(task.into(), number))
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A UUID, which is written with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Uuid(pub(super) u128);

impl Uuid {
    /// A new one of version 7: the milliseconds of `now`, then random bits.
    pub(super) fn draw(now: SystemTime) -> Self {
        let mut random = [0; 16];
        platform::random(&mut random);
        let millis = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis());
        let random =
            u128::from_ne_bytes(random) & !(0xFFFF_FFFF_FFFF << 80 | 0xF << 76 | 0b11 << 62);
        Self((millis & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | 0b10 << 62 | random)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            n >> 80 & 0xFFFF,
            n >> 64 & 0xFFFF,
            n >> 48 & 0xFFFF,
            n & 0xFFFF_FFFF_FFFF
        )
    }
}

impl FromStr for Uuid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut number = 0;
        let mut groups = [8, 4, 4, 4, 12].into_iter();
        for group in text.split('-') {
            if groups.next() != Some(group.len()) || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(());
            }
            let digits = u128::from_str_radix(group, 16).map_err(|_| ())?;
            number = number << (4 * group.len()) | digits;
        }
        groups.next().map_or(Ok(Self(number)), |_| Err(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_id_is_read_back_from_its_text() {
        let now = UNIX_EPOCH + Duration::from_millis(0x019a_d0c5_9d2b);
        let id = JobId::new("a.task-1".into(), Uuid::draw(now).0);
        let text = id.to_string();
        assert!(text.starts_with("a.task-1:019ad0c5-9d2b-7"), "{text}");
        assert!(text.as_bytes()["a.task-1:".len() + 19].is_ascii_hexdigit());
        assert!(
            "89ab".contains(&text["a.task-1:".len() + 19..][..1]),
            "{text}"
        );
        assert_eq!(text.parse(), Ok(id.clone()));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<JobId>(&json).unwrap(), id);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let uuid = Uuid(u128::MAX).to_string();
        for text in [
            "",
            "task",
            &uuid,
            &format!(":{uuid}"),
            &format!("a b:{uuid}"),
            &format!("a:{uuid}0"),
            &format!("a:{}", &uuid[1..]),
            &format!("a:{}", uuid.replace('-', "")),
            &format!("a:{uuid}-"),
            &format!("a:+{}", &uuid[1..]),
            &format!("{}:{uuid}", "x".repeat(58)),
        ] {
            assert_eq!(text.parse::<JobId>(), Err(ParseJobIdError), "{text}");
        }
        assert!(
            format!("{}:{uuid}", "x".repeat(57))
                .parse::<JobId>()
                .is_ok()
        );
    }

    #[test]
    fn two_ids_differ() {
        let now = SystemTime::now();
        assert_ne!(Uuid::draw(now), Uuid::draw(now));
    }
}
