//! What happens, for a person who follows a run (`SIM_DEBUG`).

use agent_core::{Action, Event};

/// Most characters of what has no form of its own here.
const CHARS_MAX: usize = 1_200;

pub fn event(event: &Event<'_>) -> String {
    match event {
        Event::Chunk {
            handle,
            offset,
            bytes,
            end,
            ..
        } => format!(
            "chunk {handle:?} {offset} +{} end={end} {:?} {:?}",
            bytes.len(),
            tokens(bytes),
            String::from_utf8_lossy(&bytes[..bytes.len().min(120)])
        ),
        other => format!("{other:?}"),
    }
}

pub fn action(action: &Action) -> String {
    match action {
        Action::Send { batch, body, .. } => {
            format!("send {batch:?} {}", String::from_utf8_lossy(body))
        }
        Action::Save { id, bytes } => format!("save {id:?} {}", String::from_utf8_lossy(bytes)),
        other => format!("{other:?}").chars().take(CHARS_MAX).collect(),
    }
}

/// The first tokens of a chunk's lines.
fn tokens(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split("{\"log\":\"").skip(1);
    lines
        .map(|line| line.get(..7).unwrap_or(line).to_owned())
        .collect()
}
