//! Lambda's recursive-loop detection: how often each function ran in one chain of requests.
//!
//! The trace header carries the counts: to a function with its invocation, from there to SQS with each message that
//! the function sends, and to the next function with that message. A function that has run 16 times in a chain is not
//! invoked again, unless its `RecursiveLoop` is `Allow`.

use std::collections::BTreeMap;

use uuid::Uuid;

/// The invocations of one function in a chain; Lambda documents "approximately 16".
const MOST: u32 = 16;
/// The part of the header that holds the counts, `Lineage=sync:3|analyse:1`. Lambda writes hashes for the names.
const LINEAGE: &str = "Lineage=";

/// The invocations that led to the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    root: Option<String>,
    invocations: BTreeMap<String, u32>,
}

impl Chain {
    /// The chain of a batch whose messages carry these trace headers. Each function counts as often as in the message
    /// in which it ran most: Lambda refuses a batch as a whole.
    pub(crate) fn of<'a>(headers: impl IntoIterator<Item = &'a str>) -> Self {
        let mut chain = Self::default();
        for part in headers.into_iter().flat_map(|header| header.split(';')) {
            if let Some(root) = part.strip_prefix("Root=") {
                chain.root.get_or_insert_with(|| root.to_owned());
            }
            let counts = part.strip_prefix(LINEAGE).unwrap_or_default().split('|');
            for (name, count) in counts.filter_map(|count| count.rsplit_once(':')) {
                // An unreadable count is not ours: nobody else writes this header here.
                let count: u32 = count.parse().unwrap_or_default();
                let most = chain.invocations.entry(name.to_owned()).or_default();
                *most = count.max(*most);
            }
        }
        chain
    }

    /// Whether Lambda drops the next invocation of this function, if its loops are not allowed.
    pub(crate) fn has_looped(&self, function: &str) -> bool {
        self.invocations
            .get(function)
            .is_some_and(|count| *count >= MOST)
    }

    /// The trace header of the next invocation of this function: not sampled, counted.
    pub(crate) fn header(&self, function: &str) -> String {
        let id = Uuid::new_v4().simple().to_string();
        let (epoch, unique) = id.split_at(8);
        let root = match &self.root {
            Some(root) => root.clone(),
            None => format!("1-{epoch}-{unique}"),
        };
        let mut invocations = self.invocations.clone();
        *invocations.entry(function.to_owned()).or_default() += 1;
        let counts: Vec<_> = invocations
            .iter()
            .map(|(name, count)| format!("{name}:{count}"))
            .collect();
        let (parent, counts) = (&unique[..16], counts.join("|"));
        format!("Root={root};Parent={parent};Sampled=0;{LINEAGE}{counts}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_counts_each_function_and_keeps_its_root() {
        let first = Chain::default().header("sync");
        let second = Chain::of([first.as_str()]).header("analyse");
        let third = Chain::of([second.as_str()]).header("sync");
        assert!(third.ends_with(";Lineage=analyse:1|sync:2"), "{third}");
        let root = |header: &str| header.split(';').next().map(str::to_owned);
        assert_eq!(root(&third), root(&first));
    }

    #[test]
    fn the_seventeenth_invocation_of_a_chain_is_a_loop() {
        let mut chain = Chain::default();
        for _ in 0..16 {
            assert!(!chain.has_looped("sync"));
            chain = Chain::of([chain.header("sync").as_str()]);
        }
        assert!(chain.has_looped("sync"));
        assert!(!chain.has_looped("analyse"));
    }

    #[test]
    fn a_batch_counts_as_its_longest_chain() {
        let headers = [
            "Root=1-a-b;Lineage=sync:3|erase:1",
            "Lineage=sync:16",
            "Root=1-c-d",
        ];
        let chain = Chain::of(headers);
        assert!(chain.has_looped("sync"));
        let header = chain.header("erase");
        assert!(header.starts_with("Root=1-a-b;"), "{header}");
        assert!(header.ends_with("Lineage=erase:2|sync:16"), "{header}");
    }

    #[test]
    fn a_header_without_counts_starts_a_chain() {
        for header in ["", "Root=1-a-b;Parent=c;Sampled=1", "Lineage=", "Lineage=x"] {
            let next = Chain::of([header]).header("sync");
            assert!(
                next.ends_with("Sampled=0;Lineage=sync:1"),
                "{header}: {next}"
            );
        }
    }
}
