//! `$NAME`, `${NAME}` and their defaults, as Compose puts them in.

/// Puts variables into a text. Returns it with the names that are set nowhere and have no default.
///
/// # Errors
/// A `${` that no name follows, or a required variable that is not set; never a value.
pub fn expand(
    text: &str,
    look_up: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, Vec<String>), String> {
    let mut out = String::with_capacity(text.len());
    let mut unset = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out += &rest[..at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = closing_brace(after).ok_or("a ${ is not closed")?;
            out += &braced(&after[..end], look_up, &mut unset)?;
            rest = &after[end + 1..];
        } else {
            let length = name_length(rest);
            if length == 0 {
                // `$1`, `$(`: not a variable.
                out.push('$');
                continue;
            }
            out += &plain(&rest[..length], look_up, &mut unset);
            rest = &rest[length..];
        }
    }
    out += rest;
    Ok((out, unset))
}

fn plain(name: &str, look_up: &dyn Fn(&str) -> Option<String>, unset: &mut Vec<String>) -> String {
    look_up(name).unwrap_or_else(|| {
        unset.push(name.to_owned());
        String::new()
    })
}

fn braced(
    inside: &str,
    look_up: &dyn Fn(&str) -> Option<String>,
    unset: &mut Vec<String>,
) -> Result<String, String> {
    let length = name_length(inside);
    if length == 0 {
        return Err("a ${ is not followed by a name".to_owned());
    }
    let (name, rest) = inside.split_at(length);
    if rest.is_empty() {
        return Ok(plain(name, look_up, unset));
    }
    let (colon, rest) = match rest.strip_prefix(':') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let value = look_up(name).filter(|value| !(colon && value.is_empty()));
    let Some(operator @ ('-' | '?' | '+')) = rest.chars().next() else {
        return Err(format!("what follows {name} in ${{}} is no operator"));
    };
    let (other, other_unset) = expand(&rest[1..], look_up)?;
    match (operator, value) {
        ('-' | '?', Some(value)) => Ok(value),
        ('?', None) => Err(format!("{name} is required and not set")),
        ('+', None) => Ok(String::new()),
        (_, _) => {
            unset.extend(other_unset);
            Ok(other)
        }
    }
}

fn name_length(text: &str) -> usize {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    if starts { end.unwrap_or(text.len()) } else { 0 }
}

/// Where the brace closes that was opened before `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 1_usize;
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index..].starts_with(b"${") {
            depth += 1;
            index += 1;
        } else if bytes[index] == b'}' {
            depth -= 1;
            if depth == 0 {
                return Some(index);
            }
        }
        index += 1;
    }
    None
}
