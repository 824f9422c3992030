//! How far a task or an update is. In: Swarm's word; out: a state, or the word as it is where nobody knew it so far.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! states {
    ($(#[$attribute:meta])* $name:ident { $($state:ident = $word:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($state,)*
            Other(String),
        }

        impl $name {
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$state => $word,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$state,)*
                    _ => Self::Other(word.to_owned()),
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::Other(String::new())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(String::deserialize(deserializer)?.as_str().into())
            }
        }
    };
}

states! {
    /// Where a task is, or where Swarm wants it (swarmkit `TaskState`).
    TaskState {
        New = "new",
        Pending = "pending",
        Assigned = "assigned",
        Accepted = "accepted",
        Preparing = "preparing",
        Ready = "ready",
        Starting = "starting",
        Running = "running",
        Complete = "complete",
        Shutdown = "shutdown",
        Failed = "failed",
        Rejected = "rejected",
        Remove = "remove",
        Orphaned = "orphaned",
    }
}

states! {
    /// How far the update of a service is (`UpdateStatus.State`).
    UpdateState {
        Updating = "updating",
        Paused = "paused",
        Completed = "completed",
        RollbackStarted = "rollback_started",
        RollbackPaused = "rollback_paused",
        RollbackCompleted = "rollback_completed",
    }
}

impl TaskState {
    pub fn has_failed(&self) -> bool {
        matches!(self, Self::Failed | Self::Rejected | Self::Orphaned)
    }

    /// Of the state that Swarm wants: whether it has given the task up for another, or for none.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Shutdown | Self::Remove)
    }
}

impl UpdateState {
    /// Whether Swarm goes back to the version before, or went.
    pub fn goes_back(&self) -> bool {
        matches!(self, Self::RollbackStarted | Self::RollbackPaused | Self::RollbackCompleted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_written_as_it_was_read() {
        for word in ["running", "orphaned", "preparing", "asleep", ""] {
            assert_eq!(TaskState::from(word).as_str(), word);
        }
        assert_eq!(TaskState::from("asleep"), TaskState::Other("asleep".into()));
        let read: UpdateState = serde_json::from_str("\"rollback_paused\"").unwrap();
        assert_eq!(read, UpdateState::RollbackPaused);
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"rollback_paused\"");
    }
}
