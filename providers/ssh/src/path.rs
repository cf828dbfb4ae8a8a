//! A path on the machine, as an argument that no program takes for an option or for its standard input.

use kv_sdk::Failure;

/// Linux refuses longer ones.
const MAX_PATH_BYTES: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachinePath(String);

impl MachinePath {
    pub(crate) fn parse(path: &str) -> Result<Self, Failure> {
        let wrong = match path.len() {
            0 => "the path is empty".to_owned(),
            length if length >= MAX_PATH_BYTES => {
                format!("the path has {length} bytes; it can have {}", MAX_PATH_BYTES - 1)
            }
            _ if path.contains('\0') => "the path has a NUL, which none can".to_owned(),
            _ if path.starts_with("~/") || path == "~" => {
                "`~` is not expanded; a path without `/` in front begins in the home directory".to_owned()
            }
            // `--` ends options, but a lone `-` is still standard input; this way neither is left to the program.
            _ if path.starts_with('-') => return Ok(Self(format!("./{path}"))),
            _ => return Ok(Self(path.to_owned())),
        };
        Err(Failure::invalid_input(wrong).at("/path"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// With the slash that makes a directory of it, or nothing.
    pub(crate) fn directory(&self) -> String {
        if self.0.ends_with('/') { self.0.clone() } else { format!("{}/", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths() {
        for (path, argument) in
            [("/etc/hosts", "/etc/hosts"), ("-", "./-"), ("-rf", "./-rf"), ("a b", "a b"), ("~x", "~x")]
        {
            assert_eq!(MachinePath::parse(path).unwrap().as_str(), argument);
        }
        for path in ["", "~", "~/x", "a\0", &"x".repeat(4096)] {
            assert_eq!(MachinePath::parse(path).unwrap_err().field.as_deref(), Some("/path"));
        }
        assert_eq!(MachinePath::parse("/").unwrap().directory(), "/");
        assert_eq!(MachinePath::parse("-d").unwrap().directory(), "./-d/");
    }

    proptest! {
        #[test]
        fn no_path_is_an_option(path in "-{0,3}[^\0]{0,20}") {
            if let Ok(parsed) = MachinePath::parse(&path) {
                prop_assert!(!parsed.as_str().starts_with('-'));
                prop_assert!(parsed.as_str().ends_with(&path));
            }
        }
    }
}
