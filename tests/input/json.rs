//! Malformed JSON: valid values with changes, and texts that are hardly JSON.

use proptest::{
    collection::{hash_map, vec},
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Map, Number, Value, json};

/// A change to a value.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A part is removed.
    Remove(Index),
    /// A part is replaced by another value.
    Replace(Index, Value),
    /// An object gains a field, or a list an entry.
    Add(Index, String, Value),
    /// A part is replaced by another part.
    Copy(Index, Index),
    /// A part is wrapped in this many lists.
    Wrap(Index, usize),
}

/// A change to a text.
#[derive(Clone, Debug)]
pub(crate) enum Spoiling {
    /// It ends early.
    Cut(Index),
    /// Its first field is repeated with another value.
    Repeat(Value),
    /// This many spaces follow.
    Pad(usize),
    /// These bytes are inserted.
    Insert(Index, Vec<u8>),
}

/// Texts that some parser mishandles.
const ODD: [&str; 25] = [
    "",
    " ",
    "\0",
    "a\u{0}b",
    "\u{7f}",
    "\u{202e}abc",
    "\u{feff}",
    "\u{fffd}",
    "é\u{301}",
    "🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀",
    "..",
    "../../health",
    "%2e%2e%2f",
    "%00",
    "a b",
    "a/b",
    "a#b",
    "\"quoted\"",
    "{}",
    "null",
    "-1",
    "18446744073709551616",
    "9999-12-31T23:59:59.999Z",
    "-9999999-01-01T00:00:00Z",
    "2026-02-30T24:61:61Z",
];

/// Any text: an odd one, one of `words`, any characters, or a very long one.
pub(crate) fn text(words: &[&str]) -> BoxedStrategy<String> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let odd = select(&ODD[..]).prop_map(str::to_owned);
    let long = (
        select(vec!["x", "ü", "🦀", "\\", "\""]),
        select(vec![129_usize, 257, 281, 4_097, 20_001]),
    )
        .prop_map(|(unit, times)| unit.repeat(times));
    let any = vec(any::<char>(), 0..12).prop_map(|text| text.into_iter().collect());
    if words.is_empty() {
        return prop_oneof![4 => odd, 2 => any, 1 => long].boxed();
    }
    prop_oneof![4 => odd, 4 => select(words), 2 => any, 1 => long].boxed()
}

fn number() -> impl Strategy<Value = Number> {
    let whole = select(vec![0_i64, 1, -1, 101, 366, i64::MAX, i64::MIN]).prop_map(Number::from);
    let large = Just(Number::from(u64::MAX));
    let fraction = select(vec![
        0.5,
        -0.0,
        1.0,
        1e300,
        -1e300,
        1e-300,
        f64::MIN_POSITIVE,
    ]);
    let fraction = fraction.prop_map(|number| Number::from_f64(number).expect("it is finite"));
    prop_oneof![3 => whole, 1 => large, 2 => fraction]
}

/// Any value, with `words` among its texts.
pub(crate) fn value(words: &[&str]) -> BoxedStrategy<Value> {
    let (texts, names) = (text(words), text(words));
    let leaf = prop_oneof![
        2 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => number().prop_map(Value::from),
        4 => texts.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        let object = hash_map(names.clone(), inner.clone(), 0..4);
        prop_oneof![
            vec(inner, 0..4).prop_map(Value::from),
            object.prop_map(|fields| Map::from_iter(fields).into()),
        ]
    })
    .boxed()
}

/// A change to a value, with `words` among its new texts.
pub(crate) fn change(words: &[&str]) -> impl Strategy<Value = Change> + use<> {
    let place = any::<Index>;
    prop_oneof![
        3 => place().prop_map(Change::Remove),
        6 => (place(), value(words)).prop_map(|(place, value)| Change::Replace(place, value)),
        2 => (place(), text(words), value(words))
            .prop_map(|(place, name, value)| Change::Add(place, name, value)),
        2 => (place(), place()).prop_map(|(place, from)| Change::Copy(place, from)),
        1 => (place(), select(vec![1_usize, 100, 200])).prop_map(|(place, depth)| Change::Wrap(place, depth)),
    ]
}

/// Valid JSON with one to three changes.
pub(crate) fn changed(valid: Vec<Value>, words: &[&str]) -> impl Strategy<Value = Value> + use<> {
    (select(valid), vec(change(words), 1..=3)).prop_map(|(mut value, changes)| {
        for change in &changes {
            change.make(&mut value);
        }
        value
    })
}

impl Change {
    /// Applies the change.
    pub(crate) fn make(&self, value: &mut Value) {
        let places = places(value);
        let at = |index: &Index| places[index.index(places.len())].as_str();
        let part = |value: &Value, index: &Index| value.pointer(at(index)).cloned();
        match self {
            Self::Remove(index) => remove(value, at(index)),
            Self::Replace(index, new) => put(value, at(index), new.clone()),
            Self::Add(index, name, new) => match value.pointer_mut(at(index)) {
                Some(Value::Object(fields)) => _ = fields.insert(name.clone(), new.clone()),
                Some(Value::Array(entries)) => entries.push(new.clone()),
                other => _ = other.map(|part| *part = new.clone()),
            },
            Self::Copy(index, from) => {
                let from = part(value, from).unwrap_or_default();
                put(value, at(index), from);
            }
            Self::Wrap(index, depth) => {
                let inner = part(value, index).unwrap_or_default();
                let wrapped = (0..*depth).fold(inner, |inner, _| json!([inner]));
                put(value, at(index), wrapped);
            }
        }
    }
}

/// The pointers of a value's parts, the whole first.
fn places(value: &Value) -> Vec<String> {
    fn add(value: &Value, pointer: String, places: &mut Vec<String>) {
        places.push(pointer.clone());
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let name = name.replace('~', "~0").replace('/', "~1");
                    add(value, format!("{pointer}/{name}"), places);
                }
            }
            Value::Array(entries) => {
                for (place, value) in entries.iter().enumerate() {
                    add(value, format!("{pointer}/{place}"), places);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut places = Vec::new();
    add(value, String::new(), &mut places);
    places
}

fn put(value: &mut Value, pointer: &str, new: Value) {
    if let Some(part) = value.pointer_mut(pointer) {
        *part = new;
    }
}

fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        return *value = Value::Null;
    };
    let name = name.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => _ = fields.remove(&name),
        Some(Value::Array(entries)) => _ = entries.remove(name.parse().expect("a place in it")),
        _ => {}
    }
}

/// A change to a text. The result may be longer than 64 KiB.
pub(crate) fn spoiling() -> impl Strategy<Value = Spoiling> {
    let not_utf8 = select(vec![
        vec![0xff],
        vec![0xc3],
        vec![0xed, 0xa0, 0x80],
        vec![0],
    ]);
    prop_oneof![
        any::<Index>().prop_map(Spoiling::Cut),
        value(&[]).prop_map(Spoiling::Repeat),
        select(vec![1_usize, 65_536]).prop_map(Spoiling::Pad),
        (any::<Index>(), not_utf8).prop_map(|(place, bytes)| Spoiling::Insert(place, bytes)),
    ]
}

impl Spoiling {
    /// Applies the change.
    pub(crate) fn make(&self, text: &mut Vec<u8>) {
        match self {
            Self::Cut(place) => text.truncate(place.index(text.len() + 1)),
            Self::Repeat(value) => {
                let object: Option<Map<String, Value>> = serde_json::from_slice(text).ok();
                if let Some(name) = object.as_ref().and_then(|object| object.keys().next()) {
                    let again = format!("{{{}:{value},", json!(name));
                    text.splice(..1, again.into_bytes());
                }
            }
            Self::Pad(length) => text.resize(text.len() + length, b' '),
            Self::Insert(place, bytes) => {
                let place = place.index(text.len() + 1);
                text.splice(place..place, bytes.iter().copied());
            }
        }
    }
}

/// Bodies based on these: most valid or with one part changed; some spoilt or unrelated.
pub(crate) fn bodies(valid: Vec<Value>, words: &[&str]) -> BoxedStrategy<Vec<u8>> {
    let bytes = |value: Value| value.to_string().into_bytes();
    let changed = changed(valid.clone(), words).prop_map(bytes);
    let valid = select(valid).prop_map(bytes).boxed();
    let spoilt = (valid.clone(), vec(spoiling(), 1..=2)).prop_map(|(mut text, spoilings)| {
        for spoiling in &spoilings {
            spoiling.make(&mut text);
        }
        text
    });
    let deep = select(vec!["[", "{\"a\":"]).prop_map(|unit| unit.repeat(5_000).into_bytes());
    prop_oneof![
        12 => valid,
        8 => changed,
        4 => spoilt,
        2 => value(words).prop_map(bytes),
        1 => vec(any::<u8>(), 0..64),
        1 => deep,
    ]
    .boxed()
}
