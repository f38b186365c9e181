//! Lines out of the frames in which the engine sends a log.

use bollard::container::LogOutput;
use bollard::errors::Error;
use futures_util::{Stream, StreamExt, stream};

/// Of a line that does not end; the rest is another line.
const LINE_BYTES_MAX: usize = 1 << 20;

/// A line of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// stdout or stderr.
    pub stream: &'static str,
    /// RFC 3339 with all nine digits: it sorts as text.
    pub time: String,
    /// Without its end.
    pub text: String,
}

/// The lines of a container's log. Docker keeps long ones in pieces of 16 KiB, each with a time.
pub(super) fn lines(
    frames: impl Stream<Item = Result<LogOutput, Error>> + Send,
) -> impl Stream<Item = anyhow::Result<Line>> + Send {
    let ended = frames.map(Some).chain(stream::iter([None]));
    let mut open = [Line::default(), Line::default()];
    ended.flat_map(move |frame| {
        let whole = match frame {
            Some(Ok(frame)) => push(&mut open, &frame).map(Ok).into_iter().collect(),
            Some(Err(error)) => vec![Err(error.into())],
            None => rest(&mut open).map(Ok).collect(),
        };
        stream::iter(whole)
    })
}

/// Adds a frame to the open line of its stream; the line, if that ends it.
fn push(open: &mut [Line; 2], frame: &LogOutput) -> Option<Line> {
    let is_stderr = matches!(frame, LogOutput::StdErr { .. });
    let line = &mut open[usize::from(is_stderr)];
    let text = String::from_utf8_lossy(frame.as_ref());
    let (time, text) = text.split_once(' ').unwrap_or(("", &text));
    if line.text.is_empty() {
        line.time = time.to_owned();
        line.stream = if is_stderr { "stderr" } else { "stdout" };
    }
    let is_whole = text.ends_with('\n');
    line.text += text.trim_end_matches(['\n', '\r']);
    (is_whole || line.text.len() > LINE_BYTES_MAX).then(|| std::mem::take(line))
}

/// What never ended.
fn rest(open: &mut [Line; 2]) -> impl Iterator<Item = Line> {
    let open = open.iter_mut().map(std::mem::take);
    open.filter(|line| !line.text.is_empty())
        .collect::<Vec<_>>()
        .into_iter()
}

/// One stream of several that end: by time, each one's own order kept.
pub(super) fn in_order<T: Send>(
    sources: Vec<impl Stream<Item = (T, T, anyhow::Result<Line>)> + Send + Unpin>,
) -> impl Stream<Item = (T, T, anyhow::Result<Line>)> + Send {
    let sources: Vec<_> = sources.into_iter().map(StreamExt::peekable).collect();
    stream::unfold(sources, |mut sources| async move {
        let mut first: Option<(usize, String)> = None;
        for (index, source) in sources.iter_mut().enumerate() {
            let Some((_, _, line)) = std::pin::Pin::new(source).peek().await else {
                continue;
            };
            // An error is told at once.
            let time = line.as_ref().map_or("", |line| &line.time);
            if first
                .as_ref()
                .is_none_or(|(_, earliest)| time < earliest.as_str())
            {
                first = Some((index, time.to_owned()));
            }
        }
        let (index, _) = first?;
        let line = sources[index].next().await?;
        Some((line, sources))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn frame(text: &str) -> Result<LogOutput, Error> {
        let message = text.to_owned().into();
        Ok(LogOutput::StdOut { message })
    }

    async fn all(frames: Vec<Result<LogOutput, Error>>) -> Vec<(String, String)> {
        let lines: Vec<_> = lines(stream::iter(frames)).collect().await;
        let lines = lines.into_iter().map(Result::unwrap);
        lines.map(|line| (line.time, line.text)).collect()
    }

    #[tokio::test]
    async fn a_long_line_is_put_together_and_keeps_its_first_time() {
        let stderr = Ok(LogOutput::StdErr {
            message: "2 other\n".into(),
        });
        let seen = all(vec![
            frame("1 begin "),
            stderr,
            frame("3 end\n"),
            frame("4 cut"),
        ])
        .await;
        let wanted = [("2", "other"), ("1", "begin end"), ("4", "cut")];
        assert_eq!(
            seen,
            wanted.map(|(time, text)| (time.to_owned(), text.to_owned()))
        );
    }

    #[tokio::test]
    async fn lines_of_several_logs_stand_in_the_order_of_their_times() {
        let source = |name: &'static str, times: &[&str]| {
            let frames = times.iter().map(|time| frame(&format!("{time} {name}\n")));
            let lines = lines(stream::iter(frames.collect::<Vec<_>>()));
            lines.map(move |line| (name, "", line)).boxed()
        };
        let sources = vec![source("a", &["1", "4"]), source("b", &["2", "3", "5"])];
        let order: Vec<_> = in_order(sources).map(|(name, _, _)| name).collect().await;
        assert_eq!(order, ["a", "b", "b", "a", "b"]);
    }
}
