//! Postings as bytes that sort by class and then by id, the order in which documents are read.
//!
//! The key in front must compare byte by byte like ids do, and must be read without decoding the rest. A serde format
//! such as postcard writes lengths first, which sorts ids by length; so only the part behind the key could use it.

use std::io;

use crate::model::ObjectId;
use crate::payment::protocol::ledger::{Entry, Posting};
use crate::payment::protocol::log::{LogState, Verdict};
use crate::payment::protocol::order::OrderStatus;
use crate::payment::protocol::target::Target;
use crate::payment::{Kind, SchemaNames};

/// Class of the document of a record, in the order in which classes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Class {
    Users = 1,
    Orders = 2,
    Logs = 3,
}

impl Class {
    fn of(target: &Target, names: &SchemaNames) -> Self {
        if target.class == names.user_class {
            Self::Users
        } else if target.class == names.order_class {
            Self::Orders
        } else {
            Self::Logs
        }
    }
}

/// Terminator of an id; no id contains it.
const END: u8 = 0;

const STUCK: u8 = 1;
const CONDITIONAL: u8 = 2;
const HAS_LEG: u8 = 4;

/// The key with which all records of a document begin.
pub(super) fn key(class: Class, id: &ObjectId) -> Vec<u8> {
    let mut key = Vec::with_capacity(26);
    key.push(class as u8);
    key.extend_from_slice(id.as_str().as_bytes());
    key.push(END);
    key
}

/// The key in front of a record.
pub(super) fn key_of(record: &[u8]) -> &[u8] {
    let end = record.iter().position(|byte| *byte == END);
    let length = end.map_or(record.len(), |end| end.saturating_add(1));
    record.get(..length).unwrap_or(record)
}

/// The document of a key.
pub(super) fn target(key: &[u8], names: &SchemaNames) -> io::Result<Target> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "a record without a document");
    let (class, id) = key.split_first().ok_or_else(broken)?;
    let class = match class {
        1 => &names.user_class,
        2 => &names.order_class,
        3 => &names.log_class,
        _ => return Err(broken()),
    };
    let id = id.strip_suffix(&[END]).ok_or_else(broken)?;
    Ok(Target::new(class, &id_of(id)?))
}

fn id_of(bytes: &[u8]) -> io::Result<ObjectId> {
    let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
    ObjectId::parse(text).map_err(io::Error::other)
}

/// Appends a posting to `out`.
pub(super) fn write(posting: &Posting, names: &SchemaNames, out: &mut Vec<u8>) {
    out.push(Class::of(&posting.target, names) as u8);
    out.extend_from_slice(posting.target.id.as_str().as_bytes());
    out.push(END);
    let (entry, conditional, has_leg, numbers, shows) = match posting.entry {
        Entry::Account {
            account,
            frozen,
            conditional,
        } => (0, conditional, true, [account, frozen], None),
        Entry::Order {
            refunded,
            conditional,
            shows,
        } => (
            1,
            conditional,
            refunded.is_some(),
            [refunded.unwrap_or(0), 0],
            shows,
        ),
        Entry::Hold(held) => (2, false, false, [held, 0], None),
        Entry::End(taken) => (3, false, false, [taken, 0], None),
    };
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    out.push(entry);
    out.push(place(&Kind::ALL, &posting.kind));
    out.push(posting.state.number());
    out.push(match posting.verdict {
        None => 0,
        Some(Verdict::Succeeded) => 1,
        Some(Verdict::Failed) => 2,
    });
    out.push(flag(posting.stuck, STUCK) | flag(conditional, CONDITIONAL) | flag(has_leg, HAS_LEG));
    out.push(shows.map_or(u8::MAX, |status| place(&OrderStatus::ALL, &status)));
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&posting.created.to_le_bytes());
    out.extend_from_slice(posting.log.as_str().as_bytes());
}

/// The index in a short list. The lists are part of no stored format.
fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    let place = all.iter().position(|each| each == one);
    place
        .and_then(|place| u8::try_from(place).ok())
        .unwrap_or(u8::MAX)
}

/// Reads what [`write`] has written, behind the key.
pub(super) fn read(target: &Target, record: &[u8]) -> io::Result<Posting> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "a malformed record");
    let rest = record.get(key_of(record).len()..).ok_or_else(broken)?;
    let (&[entry, kind, state, verdict, flags, shows], rest) =
        rest.split_first_chunk::<6>().ok_or_else(broken)?;
    let (first, rest) = rest.split_first_chunk().ok_or_else(broken)?;
    let (second, rest) = rest.split_first_chunk().ok_or_else(broken)?;
    let (created, log) = rest.split_first_chunk().ok_or_else(broken)?;
    let (first, second) = (i64::from_le_bytes(*first), i64::from_le_bytes(*second));
    let conditional = flags & CONDITIONAL != 0;
    Ok(Posting {
        target: target.clone(),
        log: id_of(log)?,
        created: i64::from_le_bytes(*created),
        kind: *Kind::ALL.get(usize::from(kind)).ok_or_else(broken)?,
        state: LogState::try_from(i64::from(state)).map_err(io::Error::other)?,
        verdict: match verdict {
            0 => None,
            1 => Some(Verdict::Succeeded),
            _ => Some(Verdict::Failed),
        },
        stuck: flags & STUCK != 0,
        entry: match entry {
            0 => Entry::Account {
                account: first,
                frozen: second,
                conditional,
            },
            1 => Entry::Order {
                refunded: (flags & HAS_LEG != 0).then_some(first),
                conditional,
                shows: OrderStatus::ALL.get(usize::from(shows)).copied(),
            },
            2 => Entry::Hold(first),
            _ => Entry::End(first),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::PaymentConfig;

    #[test]
    fn postings_are_read_back() {
        let names = PaymentConfig::new().names();
        let classes = [&names.user_class, &names.order_class, &names.log_class];
        let id = ObjectId::parse("5f000000aaaaaaaaaaaaaaaa").unwrap();
        let entries = [
            Entry::Account {
                account: i64::MIN,
                frozen: 7,
                conditional: true,
            },
            Entry::Order {
                refunded: Some(-1),
                conditional: false,
                shows: None,
            },
            Entry::Order {
                refunded: None,
                conditional: false,
                shows: Some(OrderStatus::Refunded),
            },
            Entry::Hold(3),
            Entry::End(-3),
        ];
        for (entry, place) in entries.into_iter().zip([0, 1, 1, 2, 2]) {
            for (verdict, kind) in [None, Some(Verdict::Succeeded), Some(Verdict::Failed)]
                .into_iter()
                .zip(Kind::ALL)
            {
                let posting = Posting {
                    target: Target::new(classes[place], &id),
                    log: ObjectId::parse("a").unwrap(),
                    created: 1_700_000_000_000,
                    kind,
                    state: LogState::Funded,
                    verdict,
                    stuck: verdict.is_none(),
                    entry,
                };
                let mut record = Vec::new();
                write(&posting, &names, &mut record);
                let read_target = target(key_of(&record), &names).unwrap();
                assert_eq!(read(&read_target, &record).unwrap(), posting);
            }
        }
    }

    #[test]
    fn records_sort_as_ids_do() {
        let mut ids = ["b", "a", "ab", "a-", "A", "a0"].map(|id| ObjectId::parse(id).unwrap());
        let mut keys = ids.clone().map(|id| key(Class::Users, &id));
        ids.sort();
        keys.sort();
        assert_eq!(keys, ids.map(|id| key(Class::Users, &id)));
        assert!(
            key(Class::Users, &ObjectId::parse("z").unwrap())
                < key(Class::Orders, &ObjectId::parse("a").unwrap())
        );
    }

    #[test]
    fn malformed_record_is_an_error() {
        let names = PaymentConfig::new().names();
        assert!(target(b"", &names).is_err());
        assert!(target(b"\x09a\0", &names).is_err());
        let target = target(b"\x01a\0", &names).unwrap();
        assert!(read(&target, b"\x01a\0\0\0\0").is_err());
    }
}
