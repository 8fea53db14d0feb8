//! What the library asks of the operating system. Only this module depends on the platform: nothing else in the crate has a `cfg`
//! on the target, so a port changes only this module.
//!
//! `linux` and `other` implement one list of functions: random numbers, thread priorities, the limit of open files, socket
//! options. `unix` and `not_unix` implement signals, which are alike on every Unix.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(unix))]
mod not_unix;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(unix))]
use not_unix as family;
#[cfg(not(target_os = "linux"))]
use other as system;
#[cfg(unix)]
use unix as family;

pub(crate) use family::{Signals, reuse_address};
#[cfg(feature = "durable")]
pub(crate) use family::{identity_of_file, make_private_file};
#[cfg(feature = "durable")]
pub(crate) use system::lock_file;
pub(crate) use system::{
    end_when_silent, file_limit, give_up_on_silent_peers, inherited_listeners, init, is_pid_1,
    raise_file_limit, random, step_back, unacknowledged,
};

/// A random number; 0 if the system has none.
pub(crate) fn random_number() -> u64 {
    let mut bytes = [0; 8];
    random(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// A random key; zeros if the system has no random numbers.
#[cfg(feature = "mcp")]
pub(crate) fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    random(&mut key);
    key
}

/// Makes `stream` send a reset when it is closed. The peer then knows that what it has read is not everything.
pub(crate) fn reset_when_closed(stream: &tokio::net::TcpStream) {
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// The conditions of every `cfg(..)`, `cfg!(..)` and `cfg_attr(..)`, over one line or several.
    fn conditions(text: &str) -> impl Iterator<Item = &str> {
        let starts = text.match_indices("cfg").map(|(at, _)| &text[at..]);
        starts.filter_map(|rest| {
            let (name, _) = rest.split_once('(')?;
            if !["cfg", "cfg!", "cfg_attr"].contains(&name) {
                return None;
            }
            let mut depth = 0;
            let end = rest.find(|letter| {
                depth += i32::from(letter == '(') - i32::from(letter == ')');
                letter == ')' && depth == 0
            })?;
            Some(&rest[name.len()..=end])
        })
    }

    fn depends_on_the_platform(text: &str) -> bool {
        let is_of_the_target = |condition: &str| {
            condition
                .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .any(|word| word.starts_with("target_") || word == "unix" || word == "windows")
        };
        conditions(text).any(is_of_the_target)
            || ["std::os::", "signal::unix", "rustix::", "socket2::"]
                .iter()
                .any(|path| text.contains(path))
    }

    #[test]
    fn no_other_module_depends_on_the_platform() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        sources(&source, &mut files);
        let dependent: Vec<_> = files
            .iter()
            .map(|file| (file.strip_prefix(&source).expect("a source"), file))
            .filter(|(name, _)| !name.starts_with("platform") && *name != Path::new("platform.rs"))
            .filter(|(_, file)| {
                depends_on_the_platform(&std::fs::read_to_string(file).expect("a source"))
            })
            .map(|(name, _)| name)
            .collect();
        assert!(files.len() > 50, "the sources have moved");
        assert_eq!(dependent, Vec::<&Path>::new(), "belongs into `platform`");
    }

    #[test]
    fn a_condition_on_the_platform_is_recognised() {
        for text in [
            "#[cfg(unix)] fn f() {}",
            "#[cfg(not(target_os = \"linux\"))]",
            "#[cfg(any(\n    windows,\n    test\n))]",
            "#[cfg_attr(target_env = \"gnu\", ignore)]",
            "if cfg!(windows) {}",
            "use std::os::fd::AsFd;",
        ] {
            assert!(depends_on_the_platform(text), "{text}");
        }
        for text in [
            "#[cfg(feature = \"ws\")] fn unix() {}",
            "#[cfg(test)] fn f() { windows(2) }",
            "if cfg!(panic = \"unwind\") {}",
        ] {
            assert!(!depends_on_the_platform(text), "{text}");
        }
    }
}
