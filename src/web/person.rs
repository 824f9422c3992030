//! Who asks, by the word of a proxy.

use super::request::Head;
use super::response::Response;
use crate::settings::WriteSettings;

/// The person that the proxy names; whoever else says so is refused.
pub fn person(settings: &WriteSettings, head: &Head) -> Result<Option<String>, Response> {
    let Some(name) = &settings.user_header else { return Ok(None) };
    let mut values = head.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Response::refusal(400, &format!("`{name}` is there more than once"), ""));
    }
    if !head.peer.is_some_and(|peer| settings.trusts(peer)) {
        let what = format!("`{name}` says who asks, and the request is from no proxy that is believed");
        return Err(Response::refusal(
            403,
            &what,
            "`DOCKEROPS_TRUSTED_PROXY` names the addresses of the proxy",
        ));
    }
    // What is not UTF-8 was replaced by this: it would be somebody else's name.
    if value.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Response::refusal(400, &format!("`{name}` is not in UTF-8"), "let the proxy encode it"));
    }
    Ok(Some(value.clone()).filter(|value| !value.is_empty()))
}
