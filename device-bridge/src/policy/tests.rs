#![allow(clippy::unwrap_used)]
use super::*;

const LOCK: Identity<'_> = Identity { thing: "lock-1", client_id: Some("lock-1"), certificate_id: "ab12" };

fn grants(statements: &str) -> Grants {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#);
    Policy::parse(&text).unwrap().bind(LOCK)
}

#[test]
fn a_device_uses_its_own_shadow_and_topics_alone() {
    let grants = Policy::of_device().bind(LOCK);
    for (action, name, allowed) in [
        (Action::Connect, "lock-1", true),
        (Action::Connect, "lock-2", false),
        (Action::Publish, "$aws/things/lock-1/shadow/update", true),
        (Action::Publish, "$aws/things/lock-1/shadow/get", true),
        (Action::Publish, "$aws/things/lock-1/shadow/name/config/delete", true),
        (Action::Publish, "$aws/things/lock-1/shadow/update/delta", false),
        (Action::Publish, "$aws/things/lock-1/shadow/update/accepted", false),
        (Action::Publish, "$aws/things/lock-2/shadow/update", false),
        (Action::Publish, "$aws/things/lock-10/shadow/update", false),
        (Action::Publish, "drawbridge/lock-1/status", true),
        (Action::Publish, "drawbridge/lock-2/status", false),
        (Action::RetainPublish, "drawbridge/lock-1/status", true),
        (Action::RetainPublish, "$aws/things/lock-1/shadow/update", false),
        (Action::Subscribe, "$aws/things/lock-1/shadow/get/+", true),
        (Action::Subscribe, "$aws/things/lock-1/shadow/#", true),
        (Action::Subscribe, "$aws/things/+/shadow/#", false),
        (Action::Subscribe, "#", false),
        (Action::Receive, "$aws/things/lock-1/shadow/update/delta", true),
        (Action::Receive, "$aws/things/lock-2/shadow/update/delta", false),
        (Action::GetThingShadow, "lock-1", true),
        (Action::UpdateThingShadow, "lock-1/config", true),
        (Action::DeleteThingShadow, "lock-2", false),
    ] {
        assert_eq!(grants.allows(action, name), allowed, "{action:?} {name}");
    }
}

#[test]
fn a_service_works_for_all_things_under_its_own_name() {
    let identity = Identity { thing: "bridge", client_id: Some("bridge"), certificate_id: "ab" };
    let grants = Policy::of_service().bind(identity);
    assert!(grants.allows(Action::Subscribe, "$aws/things/+/shadow/update/delta"));
    assert!(grants.allows(Action::Publish, "$aws/things/lock-9/shadow/update"));
    assert!(!grants.allows(Action::Connect, "lock-9"));
    assert!(!grants.allows(Action::Publish, "$SYS/x"));
}

#[test]
fn a_denial_wins_and_nothing_is_allowed_by_itself() {
    let allow = r#"{"Effect":"Allow","Action":"iot:Publish","Resource":"arn:aws:iot:eu:1:topic/a/*"}"#;
    let deny = r#"{"Effect":"Deny","Action":["iot:Publish"],"Resource":["arn:aws:iot:*:*:topic/a/secret"]}"#;
    for statements in [format!("[{allow},{deny}]"), format!("[{deny},{allow}]")] {
        let grants = grants(&statements);
        assert!(grants.allows(Action::Publish, "a/b/c"));
        assert!(!grants.allows(Action::Publish, "a/secret"));
        assert!(!grants.allows(Action::Publish, "b"));
        assert!(!grants.allows(Action::Subscribe, "a/b"));
    }
}

#[test]
fn patterns_match_as_texts() {
    let check = |resource: &str, name: &str, expected: bool| {
        let statement = format!(r#"{{"Effect":"Allow","Action":"iot:*","Resource":"{resource}"}}"#);
        assert_eq!(grants(&statement).allows(Action::Subscribe, name), expected, "{resource} {name}");
    };
    check("*", "anything", true);
    check("arn:aws:iot:r:a:topicfilter/a?c", "abc", true);
    check("arn:aws:iot:r:a:topicfilter/a?c", "ac", false);
    check("arn:aws:iot:r:a:topicfilter/a*c*e", "a/b/c/d/e", true);
    check("arn:aws:iot:r:a:topicfilter/a*c*e", "a/b/c/d", false);
    check("arn:aws:iot:r:a:topicfilter/a/+", "a/b", false);
    check("arn:aws:iot:r:a:topicfilter/a/+", "a/+", true);
    check("arn:aws:iot:r:a:topicfilter/a${*}b", "a*b", true);
    check("arn:aws:iot:r:a:topicfilter/a${*}b", "axb", false);
    check("arn:aws:iot:r:a:topicfilter/${iot:ClientId}/x", "lock-1/x", true);
    check("arn:aws:iot:r:a:topicfilter/${iot:CertificateId}", "ab12", true);
    check("arn:aws:iot:r:a:topicfilter/${iot:Certificate.Subject.CommonName}", "lock-1", true);
    check("arn:aws:iot:r:a:topic/a", "a", false);
    check("arn:aws:iot:r:a:topicfilter/a:b", "a:b", true);
    check("arn:aws:iot:r:a:topicfilter/ä*", "äö", true);
}

#[test]
fn what_is_not_evaluated_is_refused() {
    let check = |statement: &str, expected: &str| {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        let error = Policy::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(r#"{"Effect":"Allow","Action":"iot:Publish","Resource":"*","Condition":{}}"#, "Condition");
    check(r#"{"Effect":"Allow","Action":"iot:Fly","Resource":"*"}"#, "iot:Fly");
    check(r#"{"Effect":"Allow","Action":"iot:Publish","Resource":"topic/a"}"#, "topic/a");
    check(
        r#"{"Effect":"Allow","Action":"iot:Publish","Resource":"arn:aws:iot:r:a:topic/${aws:SourceIp}"}"#,
        "aws:SourceIp",
    );
    check(r#"{"Effect":"Allow","Action":"iot:Publish","Resource":"arn:aws:iot:r:a:topic/${x"}"#, "without end");
    check(r#"{"Effect":"Maybe","Action":"iot:Publish","Resource":"*"}"#, "Maybe");
    assert!(matches!(Policy::parse(r#"{"Version":"1","Statement":[]}"#), Err(PolicyError::Version(_))));
    let long = format!(r#"{{"Version":"2012-10-17","Id":"{}","Statement":[]}}"#, "x".repeat(POLICY_CHARS_MAX));
    assert!(matches!(Policy::parse(&long), Err(PolicyError::TooLong { .. })));
}

#[test]
fn over_http_there_is_no_client_id() {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"arn:aws:iot:r:a:thing/${iot:ClientId}"}}"#;
    let policy = Policy::parse(text).unwrap();
    assert!(policy.bind(LOCK).allows(Action::GetThingShadow, "lock-1"));
    assert!(!policy.bind(Identity { client_id: None, ..LOCK }).allows(Action::GetThingShadow, "lock-1"));
}

proptest::proptest! {
    #[test]
    fn a_pattern_is_a_simple_recursion(pattern in "[ab*?]{0,10}", name in "[ab]{0,12}") {
        fn simple(pattern: &[u8], text: &[u8]) -> bool {
            match pattern.split_first() {
                None => text.is_empty(),
                Some((b'*', rest)) => (0..=text.len()).any(|skip| simple(rest, &text[skip..])),
                Some((b'?', rest)) => !text.is_empty() && simple(rest, &text[1..]),
                Some((byte, rest)) => text.first() == Some(byte) && simple(rest, &text[1..]),
            }
        }
        let compiled = Pattern::compile(&format!("topic/{pattern}"), LOCK).unwrap().unwrap();
        proptest::prop_assert_eq!(compiled.matches(format!("topic/{name}").as_bytes()), simple(pattern.as_bytes(), name.as_bytes()));
    }
}
