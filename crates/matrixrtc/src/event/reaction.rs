//! What members show without speaking: a raised hand (`m.reaction`), and an emoji for a moment (`io.element.call.reaction`). Both
//! refer to the sender's own member event.

use ruma::{EventId, OwnedEventId};
use serde_json::{Value, json};

use super::RoomEvent;

/// Of a raised hand.
pub const RAISED_HAND_TYPE: &str = "m.reaction";
/// Of an emoji.
pub const EMOJI_TYPE: &str = "io.element.call.reaction";
/// The key of the annotation that is a raised hand.
pub const HAND: &str = "🖐️";
/// Of one emoji, joined ones included.
pub const EMOJI_BYTES_MAX: usize = 64;

/// What a member shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A raised hand.
    Hand,
    /// One emoji, and what clients call it, if they do.
    Emoji { emoji: String, name: Option<String> },
}

/// Reads a raised hand or an emoji: what is shown, and the member event that it is for. `None` for all other events, reactions to other
/// things among them.
pub fn parse(event: &RoomEvent) -> Option<(Shown, OwnedEventId)> {
    let relation = event.content.get("m.relates_to").filter(|_| !event.is_redacted)?;
    let target = EventId::parse(relation["event_id"].as_str()?).ok()?;
    match event.kind.as_str() {
        RAISED_HAND_TYPE if relation["rel_type"] == "m.annotation" && relation["key"] == HAND => {
            Some((Shown::Hand, target))
        }
        EMOJI_TYPE if relation["rel_type"] == "m.reference" => {
            let emoji = first_emoji(event.content.get("emoji")?.as_str()?)?;
            let name = event.content.get("name").and_then(Value::as_str);
            let name = name.filter(|name| name.len() <= EMOJI_BYTES_MAX).map(str::to_owned);
            Some((Shown::Emoji { emoji, name }, target))
        }
        _ => None,
    }
}

/// Content of a raised hand. Lowered, it is redacted.
pub fn hand_content(member_event: &EventId) -> Value {
    json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": member_event, "key": HAND } })
}

/// Content of an emoji.
pub fn emoji_content(member_event: &EventId, emoji: &str, name: &str) -> Value {
    json!({
        "m.relates_to": { "rel_type": "m.reference", "event_id": member_event },
        "emoji": emoji,
        "name": name,
    })
}

/// What a reader takes for the first character: a base and all that Unicode joins to it in an emoji (UTS #51): variation
/// selectors, skin tones, joiners, the second half of a flag, keycaps, tags. `None` if there is nothing, or no end to it.
fn first_emoji(text: &str) -> Option<String> {
    let mut chars = text.trim_start().chars().peekable();
    let mut emoji = String::from(chars.next().filter(|first| !first.is_control() && !joins(*first))?);
    let is_flag_half = |c: char| ('\u{1F1E6}'..='\u{1F1FF}').contains(&c);
    if emoji.chars().all(is_flag_half) {
        emoji.extend(chars.next_if(|second| is_flag_half(*second)));
    }
    while let Some(next) = chars.next_if(|next| joins(*next)) {
        emoji.push(next);
        if next == '\u{200D}' {
            emoji.extend(chars.next());
        }
    }
    (emoji.len() <= EMOJI_BYTES_MAX).then_some(emoji)
}

fn joins(c: char) -> bool {
    matches!(c,
        '\u{200D}' | '\u{20E3}' | '\u{FE00}'..='\u{FE0F}' | '\u{0300}'..='\u{036F}' | '\u{1F3FB}'..='\u{1F3FF}' | '\u{E0020}'..='\u{E007F}')
}

#[cfg(test)]
mod tests;
