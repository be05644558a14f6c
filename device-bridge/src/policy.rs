//! What a device may do: policy documents in the form of AWS IoT's, and their evaluation.
//!
//! The subset: `Version`, and statements of `Effect`, `Action` and `Resource`; the wildcards `*` (any characters, `/` too)
//! and `?`; the variables `${iot:ClientId}`, `${iot:Connection.Thing.ThingName}`, `${iot:CertificateId}` and
//! `${iot:Certificate.Subject.CommonName}`; the escapes `${*}`, `${?}` and `${$}`. A denial wins over an allowance, and what
//! nothing allows is denied. Conditions are refused rather than passed over.

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// The longest policy, in characters without white space (AWS IoT quotas).
pub const POLICY_CHARS_MAX: usize = 2048;
/// The version that every document names.
const LANGUAGE_VERSION: &str = "2012-10-17";

/// Something that a policy allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    Connect,
    Publish,
    Subscribe,
    Receive,
    RetainPublish,
    GetThingShadow,
    UpdateThingShadow,
    DeleteThingShadow,
    ListNamedShadowsForThing,
}

impl Action {
    const ALL: [Self; 9] = [
        Self::Connect,
        Self::Publish,
        Self::Subscribe,
        Self::Receive,
        Self::RetainPublish,
        Self::GetThingShadow,
        Self::UpdateThingShadow,
        Self::DeleteThingShadow,
        Self::ListNamedShadowsForThing,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Connect => "iot:Connect",
            Self::Publish => "iot:Publish",
            Self::Subscribe => "iot:Subscribe",
            Self::Receive => "iot:Receive",
            Self::RetainPublish => "iot:RetainPublish",
            Self::GetThingShadow => "iot:GetThingShadow",
            Self::UpdateThingShadow => "iot:UpdateThingShadow",
            Self::DeleteThingShadow => "iot:DeleteThingShadow",
            Self::ListNamedShadowsForThing => "iot:ListNamedShadowsForThing",
        }
    }

    /// Returns the type of the resources that the action is about.
    const fn resource_type(self) -> &'static str {
        match self {
            Self::Connect => "client",
            Self::Publish | Self::Receive | Self::RetainPublish => "topic",
            Self::Subscribe => "topicfilter",
            Self::GetThingShadow
            | Self::UpdateThingShadow
            | Self::DeleteThingShadow
            | Self::ListNamedShadowsForThing => "thing",
        }
    }
}

/// Says why a policy document is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// It is no policy document.
    #[error("the policy cannot be read: {0}")]
    Malformed(String),
    /// It is too long.
    #[error("the policy has {actual} characters; at most {POLICY_CHARS_MAX} are allowed")]
    TooLong {
        /// Its length without white space.
        actual: usize,
    },
    /// It names another language.
    #[error("the policy's Version is {0:?}; this program knows 2012-10-17")]
    Version(String),
    /// It has something that this program does not evaluate.
    #[error("the policy uses {0}, which is not evaluated here")]
    Unknown(String),
}

/// A policy document that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq)]
struct Statement {
    denies: bool,
    actions: Vec<Action>,
    /// Resource as written, without the part before its type.
    resources: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Document {
    version: String,
    #[serde(default, rename = "Id")]
    _id: Option<String>,
    statement: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct StatementDocument {
    #[serde(default, rename = "Sid")]
    _sid: Option<String>,
    effect: Effect,
    action: OneOrMany<String>,
    resource: OneOrMany<String>,
    #[serde(default)]
    condition: Option<Value>,
}

#[derive(Deserialize, PartialEq)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(item) => vec![item],
            Self::Many(items) => items,
        }
    }
}

/// Whom a policy is evaluated for.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The thing that the certificate belongs to; its common name too.
    pub thing: &'a str,
    /// The client id of the MQTT connection; none over HTTP.
    pub client_id: Option<&'a str>,
    /// The certificate's id, hexadecimal.
    pub certificate_id: &'a str,
}

impl Policy {
    /// Reads a policy document.
    ///
    /// # Errors
    /// It is malformed, too long, or uses what is not evaluated here.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let actual = text.chars().filter(|character| !character.is_whitespace()).count();
        if actual > POLICY_CHARS_MAX {
            return Err(PolicyError::TooLong { actual });
        }
        let document: Document =
            serde_json::from_str(text).map_err(|error| PolicyError::Malformed(error.to_string()))?;
        if document.version != LANGUAGE_VERSION {
            return Err(PolicyError::Version(document.version));
        }
        let statements = match document.statement {
            Value::Array(statements) => statements,
            one => vec![one],
        };
        let statements = statements.into_iter().map(statement).collect::<Result<_, _>>()?;
        let policy = Self { statements };
        // Unknown variables are found now, not when a device connects.
        policy.check_variables()?;
        Ok(policy)
    }

    /// Returns what a device may do unless it has a policy of its own: connect under its name, use its own shadows, and publish and
    /// subscribe below `drawbridge/NAME/`.
    pub fn of_device() -> Self {
        const OWN: &str = "${iot:Connection.Thing.ThingName}";
        let shadow = format!("$aws/things/{OWN}/shadow");
        let requests = ["get", "update", "delete"];
        let publish = requests
            .iter()
            .flat_map(|request| [format!("topic/{shadow}/{request}"), format!("topic/{shadow}/name/*/{request}")])
            .chain([format!("topic/drawbridge/{OWN}/*")]);
        Self::allowing([
            (vec![Action::Connect], vec![format!("client/{OWN}")]),
            (vec![Action::Publish], publish.collect()),
            (vec![Action::RetainPublish], vec![format!("topic/drawbridge/{OWN}/*")]),
            (
                vec![Action::Subscribe],
                vec![format!("topicfilter/{shadow}/*"), format!("topicfilter/drawbridge/{OWN}/*")],
            ),
            (vec![Action::Receive], vec![format!("topic/{shadow}/*"), format!("topic/drawbridge/{OWN}/*")]),
            (
                vec![
                    Action::GetThingShadow,
                    Action::UpdateThingShadow,
                    Action::DeleteThingShadow,
                    Action::ListNamedShadowsForThing,
                ],
                vec![format!("thing/{OWN}"), format!("thing/{OWN}/*")],
            ),
        ])
    }

    /// Returns what a service may do that works for all devices, such as a bridge: all shadows, and all of `drawbridge/`.
    pub fn of_service() -> Self {
        const EVERY: [&str; 2] = ["$aws/things/*", "drawbridge/*"];
        let topics = |kind: &str| EVERY.map(|topic| format!("{kind}/{topic}")).to_vec();
        Self::allowing([
            (vec![Action::Connect], vec!["client/${iot:Connection.Thing.ThingName}".to_owned()]),
            (vec![Action::Publish, Action::Receive], topics("topic")),
            (vec![Action::RetainPublish], vec!["topic/drawbridge/*".to_owned()]),
            (vec![Action::Subscribe], topics("topicfilter")),
            (
                vec![
                    Action::GetThingShadow,
                    Action::UpdateThingShadow,
                    Action::DeleteThingShadow,
                    Action::ListNamedShadowsForThing,
                ],
                vec!["thing/*".to_owned()],
            ),
        ])
    }

    fn allowing<const N: usize>(statements: [(Vec<Action>, Vec<String>); N]) -> Self {
        let statements = statements.into_iter();
        let statements = statements.map(|(actions, resources)| Statement { denies: false, actions, resources });
        Self { statements: statements.collect() }
    }

    /// Fills in the variables for one identity.
    pub fn bind(&self, identity: Identity<'_>) -> Grants {
        let bound = self.statements.iter().map(|statement| Bound {
            denies: statement.denies,
            actions: statement.actions.clone(),
            // A variable without a value makes its resource match nothing.
            resources: statement.resources.iter().filter_map(|text| Pattern::compile(text, identity).ok()?).collect(),
        });
        Grants { statements: bound.collect() }
    }

    fn check_variables(&self) -> Result<(), PolicyError> {
        let anybody = Identity { thing: "x", client_id: Some("x"), certificate_id: "0" };
        let resources = self.statements.iter().flat_map(|statement| &statement.resources);
        resources.map(|text| Pattern::compile(text, anybody)).try_for_each(|pattern| pattern.map(drop))
    }
}

fn statement(document: Value) -> Result<Statement, PolicyError> {
    let document: StatementDocument =
        serde_json::from_value(document).map_err(|error| PolicyError::Malformed(error.to_string()))?;
    if document.condition.is_some() {
        return Err(PolicyError::Unknown("Condition".into()));
    }
    let mut actions = Vec::new();
    for name in document.action.into_vec() {
        let known = Action::ALL.into_iter().filter(|action| name == "iot:*" || name == "*" || name == action.name());
        let before = actions.len();
        actions.extend(known);
        if actions.len() == before {
            return Err(PolicyError::Unknown(format!("the action {name:?}")));
        }
    }
    let resources = document.resource.into_vec().into_iter().map(|text| resource(&text)).collect::<Result<_, _>>()?;
    Ok(Statement { denies: document.effect == Effect::Deny, actions, resources })
}

/// Takes `TYPE/NAME` out of `arn:aws:iot:REGION:ACCOUNT:TYPE/NAME`; region and account mean nothing here.
fn resource(text: &str) -> Result<String, PolicyError> {
    let malformed = || {
        PolicyError::Malformed(format!("the resource {text:?} is neither * nor arn:aws:iot:REGION:ACCOUNT:TYPE/NAME"))
    };
    if text == "*" {
        return Ok("*".to_owned());
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "iot", _, _, name] if !name.is_empty() => Ok((*name).to_owned()),
        _ => Err(malformed()),
    }
}

/// A policy with the variables of one identity filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Grants {
    statements: Vec<Bound>,
}

#[derive(Clone, Debug, PartialEq)]
struct Bound {
    denies: bool,
    actions: Vec<Action>,
    resources: Vec<Pattern>,
}

impl Grants {
    /// Tells whether the action is allowed on this client id, topic, topic filter (compared as text) or thing.
    pub fn allows(&self, action: Action, name: &str) -> bool {
        let text = [action.resource_type().as_bytes(), b"/", name.as_bytes()].concat();
        let mut allowed = false;
        for statement in self.statements.iter().filter(|statement| statement.actions.contains(&action)) {
            if !statement.resources.iter().any(|pattern| pattern.matches(&text)) {
                continue;
            }
            if statement.denies {
                return false;
            }
            allowed = true;
        }
        allowed
    }
}

/// A text with wildcards.
#[derive(Clone, Debug, PartialEq)]
struct Pattern(Vec<Token>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Byte(u8),
    One,
    Many,
}

impl Pattern {
    /// Compiles a resource; none: a variable has no value.
    fn compile(text: &str, identity: Identity<'_>) -> Result<Option<Self>, PolicyError> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.bytes().next() {
            if let Some(variable) = rest.strip_prefix("${") {
                let (name, tail) = variable
                    .split_once('}')
                    .ok_or_else(|| PolicyError::Malformed(format!("{text:?} has a variable without end")))?;
                let value = match name {
                    "*" | "?" | "$" => Some(name),
                    "iot:ClientId" => identity.client_id,
                    "iot:Connection.Thing.ThingName" | "iot:Certificate.Subject.CommonName" => Some(identity.thing),
                    "iot:CertificateId" => Some(identity.certificate_id),
                    _ => return Err(PolicyError::Unknown(format!("the variable ${{{name}}}"))),
                };
                let Some(value) = value else { return Ok(None) };
                // Names of things have no wildcard characters; what stands here is literal anyway.
                tokens.extend(value.bytes().map(Token::Byte));
                rest = tail;
                continue;
            }
            tokens.push(match first {
                b'*' => Token::Many,
                b'?' => Token::One,
                byte => Token::Byte(byte),
            });
            // The text is UTF-8, and a byte of a longer character is never one of the signs above.
            rest = match rest.char_indices().nth(1) {
                Some((next, _)) => {
                    tokens.extend(rest.as_bytes()[1..next].iter().copied().map(Token::Byte));
                    &rest[next..]
                }
                None => {
                    tokens.extend(rest.as_bytes()[1..].iter().copied().map(Token::Byte));
                    ""
                }
            };
        }
        Ok(Some(Self(tokens)))
    }

    /// Matches `KIND/NAME`; time is at most the product of the two lengths.
    fn matches(&self, text: &[u8]) -> bool {
        let (mut at, mut token) = (0, 0);
        // The last `*`, and where its match ended.
        let mut star: Option<(usize, usize)> = None;
        while at < text.len() {
            let fits = match self.0.get(token) {
                Some(Token::Many) => {
                    star = Some((token, at));
                    token += 1;
                    continue;
                }
                Some(Token::One) => true,
                Some(Token::Byte(byte)) => *byte == text[at],
                None => false,
            };
            if fits {
                (at, token) = (at + 1, token + 1);
            } else if let Some((many, end)) = star {
                (at, token) = (end + 1, many + 1);
                star = Some((many, end + 1));
            } else {
                return false;
            }
        }
        self.0[token..].iter().all(|token| *token == Token::Many)
    }
}

#[cfg(test)]
mod tests;
