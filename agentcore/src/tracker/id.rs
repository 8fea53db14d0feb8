//! [`TaskId`]: 128 random bits, so that no id can be computed from another one.
//!
//! An id is drawn when the program first asks for it, because most tasks end without one. Each draw asks the operating system:
//! a seeded generator would give the same ids in all processes that are restored from one snapshot.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde_core::de::Error as _;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

use crate::platform;
use crate::util::sync::Mutex;

/// The number of hexadecimal digits of an id.
const DIGITS: usize = 32;

/// The id of a task: 128 random bits that cannot be guessed. Ids are not used again.
///
/// Its text is 32 hexadecimal digits. In JSON it is a string of that text.
///
/// A caller that has the id may end the task with [`complete_async_task`](crate::complete_async_task).
/// [`task_status`](crate::task_status) and [`cancel_task`](crate::cancel_task) also compare the session of the caller.
///
/// ```
/// let id = agentcore::add_async_task("import", None);
/// assert_eq!(id.to_string().len(), 32);
/// let text = serde_json::to_string(&id).unwrap();
/// assert_eq!(serde_json::from_str::<agentcore::TaskId>(&text).unwrap(), id);
/// assert_eq!(id.to_string().parse::<agentcore::TaskId>().unwrap(), id);
/// # agentcore::complete_async_task(id);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(u128);

impl TaskId {
    /// Draws a new id.
    ///
    /// # Panics
    ///
    /// If the operating system has no random numbers.
    pub(crate) fn draw() -> Self {
        Self::draw_many(1)[0]
    }

    /// Draws `count` new ids in one system call.
    pub(super) fn draw_many(count: usize) -> Vec<Self> {
        let mut bytes = vec![0; count * 16];
        assert!(
            platform::random(&mut bytes),
            "the operating system has no random numbers for task ids"
        );
        let ids = bytes.chunks_exact(16).flat_map(<[u8; 16]>::try_from);
        ids.map(|bytes| Self(u128::from_be_bytes(bytes))).collect()
    }

    /// Whether the ids are equal. Takes the same time for all pairs.
    pub(crate) fn is(self, other: Self) -> bool {
        self.0 ^ other.0 == 0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({self})")
    }
}

/// A text that is not the id of a task.
///
/// ```
/// let error = "job 7".parse::<agentcore::TaskId>().unwrap_err();
/// assert_eq!(error.to_string(), "not a task id (32 hexadecimal digits)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseTaskIdError;

impl fmt::Display for ParseTaskIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a task id ({DIGITS} hexadecimal digits)")
    }
}

impl std::error::Error for ParseTaskIdError {}

impl FromStr for TaskId {
    type Err = ParseTaskIdError;

    fn from_str(text: &str) -> Result<Self, ParseTaskIdError> {
        // Checked, because number parsing accepts a sign.
        if text.len() != DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseTaskIdError);
        }
        let number = u128::from_str_radix(text, 16);
        number.map(Self).map_err(|_| ParseTaskIdError)
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The ids of the running tasks that have one, with their tickets.
#[derive(Debug, Default)]
pub(super) struct Ids(Mutex<HashMap<TaskId, u64>>);

impl Ids {
    pub(super) fn insert(&self, id: TaskId, ticket: u64) {
        self.0.lock().insert(id, ticket);
    }

    pub(super) fn remove(&self, id: TaskId) {
        self.0.lock().remove(&id);
    }

    /// The ticket of the task with this id.
    pub(super) fn ticket(&self, id: TaskId) -> Option<u64> {
        // The map hashes with random keys, so the time of a lookup reveals nothing about similar ids.
        self.0.lock().get(&id).copied()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_is_32_digits_and_is_read_back() {
        for id in TaskId::draw_many(100) {
            let text = id.to_string();
            assert_eq!(text.len(), DIGITS);
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(text.to_uppercase().parse(), Ok(id));
            assert_eq!(format!("{id:?}"), format!("TaskId({text})"));
            assert_eq!(
                serde_json::to_value(id).unwrap(),
                serde_json::Value::from(text)
            );
        }
    }

    #[test]
    fn other_texts_are_no_ids() {
        let digits = "0".repeat(DIGITS);
        assert!(digits.parse::<TaskId>().is_ok());
        let cases = [
            String::new(),
            "12345678901".to_owned(),
            format!("{digits}0"),
            format!("+{}", &digits[1..]),
            format!("{}-{}", &digits[..16], &digits[17..]),
            "é".repeat(DIGITS / 2),
        ];
        for text in cases {
            assert_eq!(text.parse::<TaskId>(), Err(ParseTaskIdError), "{text}");
            assert!(serde_json::from_value::<TaskId>(text.into()).is_err());
        }
    }

    #[test]
    fn all_of_an_id_is_random() {
        let ids = TaskId::draw_many(1000);
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        // Each bit is set in some ids and clear in others. A bit is constant by chance in one of 2⁹⁹² runs.
        let (mut on, mut off) = (0, 0);
        for id in &ids {
            on |= id.0;
            off |= !id.0;
        }
        assert_eq!((on, off), (u128::MAX, u128::MAX));
        // The ids do not all differ by one number either.
        let steps: HashSet<_> = ids
            .windows(2)
            .map(|pair| pair[1].0.wrapping_sub(pair[0].0))
            .collect();
        assert_eq!(steps.len(), ids.len() - 1);
    }

    #[test]
    fn equal_ids_are_one() {
        let [one, other] = [TaskId(1 << 64 | 2), TaskId(1 << 64 | 3)];
        assert!(one.is(one) && !one.is(other) && !TaskId(2).is(one));
    }
}
