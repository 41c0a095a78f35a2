//! The files that the rules look at.

use std::path::{Path, PathBuf};

const SKIPPED: [&str; 5] = [".git", "target", "out", "node_modules", "ringmill-data"];
const KINDS: [&str; 9] = ["rs", "toml", "md", "java", "py", "go", "sh", "xml", "properties"];

/// One text file, its path relative to the root.
pub(crate) struct Source {
    pub path: PathBuf,
    pub text: String,
    /// The text without comments and without what stands in string literals; line ends are where they were.
    code: String,
}

impl Source {
    pub(crate) fn new(path: impl Into<PathBuf>, text: &str) -> Source {
        let path = path.into();
        let code = if path.extension().is_some_and(|kind| kind == "rs") { bare(text) } else { String::new() };
        Source { path, text: text.to_owned(), code }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|kind| kind == "rs")
    }

    pub(crate) fn is_generated(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "generated")
    }

    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// `path:line` of each line of code that has `word` as a whole word.
    pub(crate) fn code_lines_with(&self, word: &str) -> impl Iterator<Item = String> {
        self.places(&self.code, move |line| has_word(line, word))
    }

    /// `path:line` of each line that has `word` anywhere.
    pub(crate) fn lines_with(&self, word: &str) -> impl Iterator<Item = String> {
        self.places(&self.text, move |line| line.contains(word))
    }

    fn places(&self, text: &str, found: impl Fn(&str) -> bool) -> impl Iterator<Item = String> {
        let numbered = text.lines().enumerate().filter(|(_, line)| found(line));
        numbered.map(|(i, _)| format!("{}:{}", self.path.display(), i + 1)).collect::<Vec<_>>().into_iter()
    }
}

/// Every text file of the repository.
pub(crate) fn read(root: &Path) -> Result<Vec<Source>, String> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = std::fs::read_dir(&directory).map_err(|e| format!("list {}: {e}", directory.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    directories.push(path);
                }
                continue;
            }
            let kind = path.extension().map(|kind| kind.to_string_lossy().into_owned());
            let script = kind.is_none() && ["run", "test"].contains(&name.as_str());
            if script || kind.is_some_and(|kind| KINDS.contains(&kind.as_str())) {
                let text = std::fs::read_to_string(&path).map_err(|e| format!("read {}: {e}", path.display()))?;
                files.push(Source::new(path.strip_prefix(root).expect("a path below the root"), &text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part_of_word) && !line[at + word.len()..].starts_with(part_of_word))
}

/// Rust without comments and string contents. It need not be perfect, only never lose a line end.
fn bare(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let bytes: Vec<char> = text.chars().collect();
    let mut i = 0;
    while i < bytes.len() {
        let next = bytes.get(i + 1).copied();
        i = match (bytes[i], next) {
            ('/', Some('/')) => bytes[i..].iter().position(|c| *c == '\n').map_or(bytes.len(), |n| i + n),
            ('/', Some('*')) => skip(&bytes, i + 2, &mut code, |rest| rest.starts_with(&['*', '/']).then_some(2)),
            ('r', Some('#')) if bytes.get(i + 2) == Some(&'"') => {
                skip(&bytes, i + 3, &mut code, |rest| rest.starts_with(&['"', '#']).then_some(2))
            }
            ('"', _) => string(&bytes, i + 1, &mut code),
            // A quote as a character would look like the start of a string.
            ('\'', Some('"')) => i + 3,
            ('\'', Some('\\')) => i + 4,
            (c, _) => {
                code.push(c);
                i + 1
            }
        };
    }
    code
}

fn string(text: &[char], from: usize, code: &mut String) -> usize {
    let mut i = from;
    while i < text.len() {
        match text[i] {
            '"' => return i + 1,
            '\\' => {
                if text.get(i + 1) == Some(&'\n') {
                    code.push('\n');
                }
                i += 2;
            }
            c => {
                if c == '\n' {
                    code.push('\n');
                }
                i += 1;
            }
        }
    }
    i
}

fn skip(text: &[char], from: usize, code: &mut String, end: impl Fn(&[char]) -> Option<usize>) -> usize {
    let mut i = from;
    while i < text.len() {
        if let Some(length) = end(&text[i..]) {
            return i + length;
        }
        if text[i] == '\n' {
            code.push('\n');
        }
        i += 1;
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left_and_lines_keep_their_numbers() {
        let text = "a // b\n\"c\n\\\"d\" e '\"' f /* g\n */ r#\"h\"# i";
        assert_eq!(bare(text), "a \n\n e  f \n  i");
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("{ unsafe {", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
    }
}
