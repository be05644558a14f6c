//! Topics, topic filters, and the tree that finds who is subscribed.

use std::collections::HashMap;
use std::sync::Arc;

use super::limits::{TOPIC_BYTES_MAX, TOPIC_SLASHES_MAX};

/// Tells whether a client may publish to a topic of this form: not empty, no wildcard, not too long or deep.
pub(crate) fn is_topic(topic: &str) -> bool {
    is_short(topic) && !topic.contains(['+', '#', '\0'])
}

/// Tells whether a topic filter is well formed (MQTT 5, section 4.7.1): wildcards fill whole levels, `#` the last one.
pub(super) fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    let mut is_well_formed = is_short(filter) && !filter.contains('\0');
    while let Some(level) = levels.next() {
        is_well_formed &= match level {
            "#" => levels.peek().is_none(),
            "+" => true,
            level => !level.contains(['+', '#']),
        };
    }
    is_well_formed
}

/// Tells whether a filter asks for a share of the messages, which is not offered.
pub(super) fn is_shared(filter: &str) -> bool {
    filter.starts_with("$share/")
}

/// Tells whether only the broker's own services are meant by a topic.
pub(super) fn is_reserved(topic: &str) -> bool {
    topic.starts_with('$')
}

fn is_short(topic: &str) -> bool {
    let slashes = topic.bytes().filter(|byte| *byte == b'/').count();
    !topic.is_empty() && topic.len() <= TOPIC_BYTES_MAX && slashes <= TOPIC_SLASHES_MAX
}

/// Tells whether a topic matches a well-formed filter (MQTT 5, section 4.7).
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    if is_reserved(topic) && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filters, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Filters and who is subscribed to them, level by level. Its depth is bounded by the slashes that a filter may have.
#[derive(Debug)]
pub(super) struct SubscriptionTree<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    children: HashMap<Box<str>, Node<T>>,
    subscribers: HashMap<Arc<str>, T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { children: HashMap::new(), subscribers: HashMap::new() }
    }
}

impl<T> Default for SubscriptionTree<T> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<T> SubscriptionTree<T> {
    /// Subscribes `client` to `filter`, in place of an earlier subscription to the same one.
    pub(super) fn insert(&mut self, filter: &str, client: Arc<str>, subscription: T) {
        let node = filter.split('/').fold(&mut self.root, |node, level| node.children.entry(level.into()).or_default());
        node.subscribers.insert(client, subscription);
    }

    /// Ends a subscription.
    pub(super) fn remove(&mut self, filter: &str, client: &str) {
        let levels: Vec<&str> = filter.split('/').collect();
        self.root.remove(&levels, client);
    }

    /// Calls `found` for each subscription that matches `topic`; a client with several is found several times.
    pub(super) fn find<'a>(&'a self, topic: &str, found: &mut impl FnMut(&'a Arc<str>, &'a T)) {
        let levels: Vec<&str> = topic.split('/').collect();
        self.root.find(&levels, is_reserved(topic), found);
    }
}

impl<T> Node<T> {
    fn remove(&mut self, levels: &[&str], client: &str) {
        match levels.split_first() {
            None => {
                self.subscribers.remove(client);
            }
            Some((level, rest)) => {
                if let Some(child) = self.children.get_mut(*level) {
                    child.remove(rest, client);
                    if child.children.is_empty() && child.subscribers.is_empty() {
                        self.children.remove(*level);
                    }
                }
            }
        }
    }

    /// `hides_wildcards`: a wildcard on the first level does not match topics that begin with `$`.
    fn find<'a>(&'a self, levels: &[&str], hides_wildcards: bool, found: &mut impl FnMut(&'a Arc<str>, &'a T)) {
        if let Some(all) = self.children.get("#").filter(|_| !hides_wildcards) {
            all.subscribers.iter().for_each(|(client, subscription)| found(client, subscription));
        }
        match levels.split_first() {
            None => self.subscribers.iter().for_each(|(client, subscription)| found(client, subscription)),
            Some((level, rest)) => {
                if let Some(child) = self.children.get(*level) {
                    child.find(rest, false, found);
                }
                if let Some(child) = self.children.get("+").filter(|_| !hides_wildcards) {
                    child.find(rest, false, found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/#", "a/b/c", true),
            ("a/#", "a", true),
            ("#", "a/b", true),
            ("+/+", "/a", true),
            ("+", "/a", false),
            ("#", "$aws/x", false),
            ("+/x", "$aws/x", false),
            ("$aws/#", "$aws/x", true),
            ("$aws/things/+/shadow/get/+", "$aws/things/t/shadow/get/accepted", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn malformed_topics_and_filters_are_found() {
        for filter in ["", "a/#/b", "a#", "#a", "a/b+", "+a", "a\0", &"x".repeat(257), "1/2/3/4/5/6/7/8/9"] {
            assert!(!is_filter(filter), "{filter:?}");
        }
        for filter in ["a", "/", "+", "#", "a/+/#", "+/a", &"x".repeat(256), "1/2/3/4/5/6/7/8"] {
            assert!(is_filter(filter), "{filter:?}");
        }
        for topic in ["", "a/+", "#", "a\0", "1/2/3/4/5/6/7/8/9"] {
            assert!(!is_topic(topic), "{topic:?}");
        }
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_matches(
            filters in prop::collection::vec("[ab+$](/[ab+]){0,3}(/#)?|#", 0..12),
            topic in "[ab$](/[ab]?){0,4}",
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let filters: Vec<String> = filters.into_iter().filter(|filter| is_filter(filter)).collect();
            let mut tree = SubscriptionTree::default();
            for (index, filter) in filters.iter().enumerate() {
                tree.insert(filter, format!("c{index}").into(), index);
            }
            let mut gone = Vec::new();
            for index in removed.iter().filter(|_| !filters.is_empty()).map(|index| index.index(filters.len())) {
                tree.remove(&filters[index], &format!("c{index}"));
                gone.push(index);
            }
            let mut found = Vec::new();
            tree.find(&topic, &mut |_, index| found.push(*index));
            found.sort_unstable();
            let expected: Vec<usize> =
                (0..filters.len()).filter(|index| !gone.contains(index) && matches(&filters[*index], &topic)).collect();
            prop_assert_eq!(found, expected);
            for (index, filter) in filters.iter().enumerate() {
                tree.remove(filter, &format!("c{index}"));
            }
            prop_assert!(tree.root.children.is_empty());
        }
    }
}
