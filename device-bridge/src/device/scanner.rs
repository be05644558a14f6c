//! Where codes come from: arguments, the lines that a scanner types, pictures, and a camera.
//!
//! A thread reads, since all of these block. It hands over one text at a time, and ends with its source.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::code::{TEXT_BYTES_MAX, picture};

/// How long the same code before the camera is one scan.
const SAME_SCAN: Duration = Duration::from_secs(3);
/// How often the camera is asked for a picture, at most.
const CAMERA_PAUSE: Duration = Duration::from_millis(200);

/// Says where codes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// These texts, one after the other.
    Texts(Vec<String>),
    /// Lines of standard input, as USB and serial scanners type them.
    Lines,
    /// Pictures (PNG, JPEG), one code each.
    Pictures(Vec<PathBuf>),
    /// A command that writes one picture to its standard output, run again and again.
    Camera(Vec<String>),
}

/// What was scanned: a text, or why there is none.
pub type Scan = Result<String, String>;

impl Source {
    /// Starts reading. The thread ends with its source, or when nobody listens any more.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(self) -> std::io::Result<mpsc::Receiver<Scan>> {
        let (scans, receiver) = mpsc::channel(1);
        std::thread::Builder::new().name("scanner".to_owned()).spawn(move || match self {
            Self::Texts(texts) => hand_over(texts.into_iter().map(Ok), &scans),
            Self::Lines => hand_over(Lines(BufReader::new(std::io::stdin())), &scans),
            Self::Pictures(files) => hand_over(files.into_iter().map(read_file), &scans),
            Self::Camera(words) => watch(&words, &scans),
        })?;
        Ok(receiver)
    }
}

fn hand_over(texts: impl Iterator<Item = Scan>, scans: &mpsc::Sender<Scan>) {
    for text in texts {
        if scans.blocking_send(text).is_err() {
            return;
        }
    }
}

fn read_file(path: PathBuf) -> Scan {
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    picture::read(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Looks through a camera: a new code is handed over once, as long as it is held before it.
fn watch(words: &[String], scans: &mpsc::Sender<Scan>) {
    let mut last: Option<(String, Instant)> = None;
    while !scans.is_closed() {
        let begun = Instant::now();
        match take_picture(words) {
            Ok(bytes) => {
                if let Ok(text) = picture::read(&bytes) {
                    let same = last.as_ref().is_some_and(|(seen, at)| *seen == text && at.elapsed() < SAME_SCAN);
                    last = Some((text.clone(), Instant::now()));
                    if !same && scans.blocking_send(Ok(text)).is_err() {
                        return;
                    }
                }
            }
            Err(problem) => {
                if scans.blocking_send(Err(problem)).is_err() {
                    return;
                }
                std::thread::sleep(SAME_SCAN);
            }
        }
        std::thread::sleep(CAMERA_PAUSE.saturating_sub(begun.elapsed()));
    }
}

fn take_picture(words: &[String]) -> Result<Vec<u8>, String> {
    let (program, arguments) = words.split_first().ok_or("the camera's command is empty")?;
    let failed = |problem: &dyn std::fmt::Display| format!("the camera's command {program}: {problem}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    if let Some(output) = child.stdout.take() {
        let most = u64::try_from(picture::PICTURE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        output.take(most).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(bytes),
        Ok(status) => Err(failed(&status)),
        Err(error) => Err(failed(&error)),
    }
}

/// Lines of at most the length of a code; of longer ones only that they are too long.
struct Lines<R>(R);

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Scan;

    fn next(&mut self) -> Option<Scan> {
        loop {
            let most = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX) + 2;
            let mut line = Vec::new();
            if self.0.by_ref().take(most).read_until(b'\n', &mut line).ok()? == 0 {
                return None;
            }
            if line.last() != Some(&b'\n') && line.len() > TEXT_BYTES_MAX {
                self.0.skip_until(b'\n').ok()?;
            }
            let text = String::from_utf8_lossy(&line);
            if !text.trim().is_empty() {
                return Some(Ok(text.into_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        Lines(text.as_bytes()).map(Result::unwrap).collect()
    }

    #[test]
    fn lines_end_as_scanners_end_them_and_empty_ones_are_none() {
        assert_eq!(lines("one\r\n\n  \ntwo\nthree"), ["one\r\n", "two\n", "three"]);
        assert_eq!(lines(""), [""; 0]);
    }

    #[test]
    fn a_line_without_end_takes_no_memory_and_the_next_one_is_read() {
        let read = lines(&format!("{}\nnext\n", "a".repeat(1 << 20)));
        assert_eq!((read[0].len(), read[1].as_str()), (TEXT_BYTES_MAX + 2, "next\n"));
        assert!(read[0].parse::<crate::code::Code>().is_err());
    }

    #[tokio::test]
    async fn pictures_and_cameras_give_the_text_of_their_code() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("code.png");
        std::fs::write(&file, picture::Picture::of("T1:ABC").unwrap().png().unwrap()).unwrap();
        let mut scans = Source::Pictures(vec![file.clone(), "/nowhere.png".into()]).start().unwrap();
        assert_eq!(scans.recv().await, Some(Ok("T1:ABC".to_owned())));
        assert!(scans.recv().await.unwrap().unwrap_err().contains("/nowhere.png"));
        assert_eq!(scans.recv().await, None);
        let camera = |words: &[&str]| Source::Camera(words.iter().map(|word| (*word).to_owned()).collect());
        let mut scans = camera(&["cat", file.to_str().unwrap()]).start().unwrap();
        assert_eq!(scans.recv().await, Some(Ok("T1:ABC".to_owned())));
        let mut broken = camera(&["false"]).start().unwrap();
        assert!(broken.recv().await.unwrap().unwrap_err().contains("false"));
    }
}
