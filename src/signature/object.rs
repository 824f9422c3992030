//! A commit or tag as it lies in git: what is signed of it, the signature, and who says to have made it.
//!
//! Git's readers are lenient, each in its own way. Here an object has the one form that git writes, and one signature, so
//! that no reader takes something for signed that is not.

use chrono::{DateTime, Utc};
use git2::{ObjectType, Oid, Repository};

use super::refusal::{Refusal, Why};
use crate::plain;

/// The largest object taken, in bytes: who writes more into a message writes no message.
const LARGEST: usize = 1 << 20;
/// The longest signature taken, in bytes.
const LONGEST: usize = 64 * 1024;
/// The longest name told, in letters.
const LONGEST_NAME: usize = 100;

/// How a signature begins and ends.
const FORMS: [(Form, &str, &str); 4] = [
    (Form::Ssh, "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"),
    (Form::OpenPgp, "-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----"),
    (Form::OpenPgp, "-----BEGIN PGP MESSAGE-----", "-----END PGP MESSAGE-----"),
    (Form::X509, "-----BEGIN SIGNED MESSAGE-----", "-----END SIGNED MESSAGE-----"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Ssh,
    OpenPgp,
    X509,
}

#[derive(Debug)]
pub(super) struct Object {
    about: String,
    /// All of it but the signature.
    text: Vec<u8>,
    signatures: Vec<Vec<u8>>,
    date: DateTime<Utc>,
    tag: Option<Tag>,
}

#[derive(Debug)]
struct Tag {
    name: Vec<u8>,
    target: Oid,
    kind: ObjectType,
}

/// Why an object is not as git writes it.
type Odd = &'static str;

impl Object {
    pub(super) fn commit(repository: &Repository, id: Oid) -> Result<Self, Refusal> {
        let refused = |who: &str, why| Refusal::new(format!("commit `{}`{who}", short(id)), why);
        let raw = raw(repository, id, ObjectType::Commit).map_err(|why| refused("", why))?;
        let tree = repository.find_commit(id).map(|commit| commit.tree_id());
        let tree = tree.map_err(|error| refused("", Why::Git(error)))?;
        let who = author(&raw, b"author ");
        let mut found = Self::of_commit(&raw, tree).map_err(|odd| refused(&who, Why::Odd(odd)))?;
        found.about = format!("commit `{}`{who}", short(id));
        Ok(found)
    }

    /// `tree` is the one that whoever reads the commit gets.
    fn of_commit(raw: &[u8], tree: Oid) -> Result<Self, Odd> {
        if !raw.starts_with(format!("tree {tree}\n").as_bytes()) {
            return Err("it does not begin with its tree");
        }
        let (mut text, mut signatures, mut is_within) = (Vec::new(), Vec::<Vec<u8>>::new(), false);
        let (mut dates, mut lines) = (Vec::new(), Lines(raw));
        loop {
            let line = lines.next().ok_or("its headers have no end")?;
            if line.is_empty() {
                break;
            }
            match (line.strip_prefix(b" "), signatures.last_mut().filter(|_| is_within)) {
                (Some(more), Some(signature)) => {
                    signature.extend_from_slice(more);
                    signature.push(b'\n');
                    continue;
                }
                _ => is_within = false,
            }
            if line.starts_with(b"gpgsig") {
                let signature =
                    line.strip_prefix(b"gpgsig ").ok_or("it has a signature of another kind beside")?;
                signatures.push([signature, b"\n"].concat());
                is_within = true;
                continue;
            }
            if line.starts_with(b"committer ") {
                dates.push(date(line));
            }
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        // The empty line between, too.
        text.extend_from_slice(&raw[raw.len() - lines.0.len() - 1..]);
        let [Some(date)] = dates[..] else { return Err("it has no date, or several") };
        Ok(Self { about: String::new(), text, signatures, date, tag: None })
    }

    pub(super) fn tag(repository: &Repository, id: Oid) -> Result<Self, Refusal> {
        let raw = raw(repository, id, ObjectType::Tag).map_err(|why| Refusal::of_tag(id, why))?;
        let name = Lines(&raw).find_map(|line| line.strip_prefix(b"tag ")).map(shown).unwrap_or_default();
        let about = format!("the tag `{name}` (`{}`){}", short(id), author(&raw, b"tagger "));
        match Self::of_tag(&raw) {
            Ok(found) => Ok(Self { about, ..found }),
            Err(odd) => Err(Refusal::new(about, Why::Odd(odd))),
        }
    }

    fn of_tag(raw: &[u8]) -> Result<Self, Odd> {
        const ODD: Odd = "it has other lines, or in another order";
        let mut lines = Lines(raw);
        let mut next = |name: &[u8]| lines.next().and_then(|line| line.strip_prefix(name)).ok_or(ODD);
        let (target, kind, name) = (next(b"object ")?, next(b"type ")?, next(b"tag ")?);
        let date = date(next(b"tagger ")?).ok_or("it has no date")?;
        if !next(b"")?.is_empty() {
            return Err(ODD);
        }
        let target = std::str::from_utf8(target).ok().filter(|id| id.len() == 40);
        let target = target.and_then(|id| Oid::from_str(id).ok()).ok_or(ODD)?;
        let kind = match kind {
            b"commit" => ObjectType::Commit,
            b"tag" => ObjectType::Tag,
            _ => return Err("it is the tag of no commit"),
        };
        let mut begins = begins(raw, raw.len() - lines.0.len());
        let text = raw[..begins.first().copied().unwrap_or(raw.len())].to_vec();
        begins.push(raw.len());
        let signatures = begins.windows(2).map(|bounds| raw[bounds[0]..bounds[1]].to_vec()).collect();
        let tag = Some(Tag { name: name.to_vec(), target, kind });
        Ok(Self { about: String::new(), text, signatures, date, tag })
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The one signature, and nothing before or behind it.
    pub(super) fn signature(&self) -> Result<(Form, &str), Why> {
        let damaged = || Why::malformed("it is not what stands between the two lines of one signature");
        let signature = match &self.signatures[..] {
            [] => return Err(Why::Unsigned),
            [signature] if signature.len() <= LONGEST => signature,
            [_] => return Err(Why::malformed("it is longer than 64 KiB")),
            _ => return Err(Why::Several),
        };
        let text = std::str::from_utf8(signature).map_err(|_| damaged())?;
        let is_of = |begin: &str, end: &str| {
            let inner =
                text.strip_prefix(begin)?.strip_prefix('\n')?.trim_end_matches('\n').strip_suffix(end)?;
            (inner.ends_with('\n') && !inner.contains("-----")).then_some(())
        };
        let form = FORMS.iter().find(|(_, begin, end)| is_of(begin, end).is_some());
        form.map(|(form, _, _)| (*form, text)).ok_or_else(damaged)
    }

    /// When it says to have been made.
    pub(super) fn date(&self) -> DateTime<Utc> {
        self.date
    }

    /// The name that a tag says to have.
    pub(super) fn name(&self) -> Option<&[u8]> {
        Some(&self.tag.as_ref()?.name)
    }

    /// What a tag points at.
    pub(super) fn target(&self) -> Option<(Oid, ObjectType)> {
        self.tag.as_ref().map(|tag| (tag.target, tag.kind))
    }

    pub(super) fn refused(&self, why: Why) -> Refusal {
        Refusal::new(self.about.clone(), why)
    }
}

/// Its bytes, which git's library has compared with its id.
fn raw(repository: &Repository, id: Oid, kind: ObjectType) -> Result<Vec<u8>, Why> {
    let odb = repository.odb().map_err(Why::Git)?;
    let object = odb.read(id).map_err(Why::Git)?;
    if object.len() > LARGEST {
        return Err(Why::Odd("it is larger than 1 MiB"));
    }
    if object.kind() != kind {
        return Err(Why::Odd("it is something else"));
    }
    // Some readers take a zero byte for the end.
    if object.data().contains(&0) {
        return Err(Why::Odd("it holds zero bytes"));
    }
    Ok(object.data().to_vec())
}

/// Lines without their ends; what has none is no line.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = (&self.0[..end], &self.0[end + 1..]);
        self.0 = rest;
        Some(line)
    }
}

/// Where lines at and behind `from` begin a signature.
fn begins(raw: &[u8], from: usize) -> Vec<usize> {
    let (mut at, mut found) = (from, Vec::new());
    for line in raw[from..].split_inclusive(|byte| *byte == b'\n') {
        if FORMS.iter().any(|(_, begin, _)| line.starts_with(begin.as_bytes())) {
            found.push(at);
        }
        at += line.len();
    }
    found
}

/// Of a line that ends in seconds and a time zone.
fn date(line: &[u8]) -> Option<DateTime<Utc>> {
    let behind = line.rsplit(|byte| *byte == b'>').next()?;
    let seconds = std::str::from_utf8(behind).ok()?.split_ascii_whitespace().next()?;
    DateTime::from_timestamp(seconds.parse().ok()?, 0)
}

/// Who is named in the line that begins so, made fit to be told.
fn author(raw: &[u8], begin: &[u8]) -> String {
    let line = Lines(raw).take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(begin));
    let name = line.map(|line| &line[..line.iter().rposition(|byte| *byte == b'>').map_or(0, |at| at + 1)]);
    name.map(|name| format!(" by `{}`", shown(name))).unwrap_or_default()
}

fn shown(name: &[u8]) -> String {
    let text = plain::name(&String::from_utf8_lossy(name));
    match text.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(super) fn short(id: Oid) -> String {
    id.to_string()[..12].to_owned()
}
