//! The requests of one repository: opened, or found where they are open already.

use anyhow::Result;
use serde_json::{Value, json};

use super::client::Client;
use super::place::Place;
use super::{Dialect, Proposal, Request, explain};
use crate::fault::with_hint;

/// How the title of one begins that nobody is to merge yet: it stays so (GitLab, Gitea).
const DRAFT: [&str; 5] = ["Draft: ", "[Draft] ", "(Draft) ", "WIP: ", "[WIP] "];

/// As the API of its forge names it.
pub(super) struct Repository<'a> {
    pub place: &'a Place,
    pub client: Client<'a>,
    pub forge: &'static dyn Dialect,
    pub path: String,
    /// Where its requests are listed and opened.
    pub requests: String,
}

impl Repository<'_> {
    pub fn open(&self, proposal: &Proposal<'_>) -> Result<Request> {
        let answer = self.client.post(&self.requests, self.forge, &self.forge.to_open(proposal))?;
        if answer.status.is_success() {
            return self.read(&answer.json(self.forge)?, true);
        }
        // One is open, or there is nothing to merge: words tell these apart, and words change.
        if matches!(answer.status.as_u16(), 409 | 422)
            && let Some(found) = self.find(proposal)?
        {
            let mut request = self.read(&found, false)?;
            let told = self.tell(&found, request.number, proposal);
            request.outdated = told.err().map(|error| with_hint(&error));
            return Ok(request);
        }
        Err(explain::refused(self, &answer))
    }

    fn find(&self, proposal: &Proposal<'_>) -> Result<Option<Value>> {
        for page in 1.. {
            let Some(query) = self.forge.query(&self.path, proposal, page) else { break };
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            let answer = self.client.get(&format!("{}?{query}", self.requests), self.forge)?;
            if !answer.status.is_success() {
                return Err(explain::refused(self, &answer));
            }
            let Value::Array(requests) = answer.json(self.forge)? else {
                return Err(explain::not_expected(self.forge));
            };
            if requests.is_empty() {
                break;
            }
            if let Some(found) = requests.into_iter().find(|request| self.forge.is_for(request, proposal)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Whoever reviews it reads what would be merged now, and not what an earlier change was.
    fn tell(&self, request: &Value, number: u64, proposal: &Proposal<'_>) -> Result<()> {
        let (method, text) = self.forge.edits();
        let known = |key: &str| request[key].as_str().unwrap_or_default().replace("\r\n", "\n");
        let was = known("title");
        let draft = DRAFT.into_iter().find(|word| was.starts_with(word)).unwrap_or_default();
        let title = format!("{draft}{}", proposal.title);
        if was == title && known(text).trim_end() == proposal.body.trim_end() {
            return Ok(());
        }
        let url = format!("{}/{number}", self.requests);
        let body = json!({"title": title, text: proposal.body});
        let answer = self.client.edit(&method, &url, self.forge, &body)?;
        if answer.status.is_success() { Ok(()) } else { Err(explain::not_changed(self, &answer)) }
    }

    fn read(&self, request: &Value, opened: bool) -> Result<Request> {
        let read = self.forge.read(request);
        let (number, url) = read.ok_or_else(|| explain::not_expected(self.forge))?;
        if !self.place.is_page(url) {
            return Err(explain::strange_address(number, &self.client.shown(url), self.place));
        }
        Ok(Request { url: url.to_owned(), number, opened, outdated: None })
    }
}
