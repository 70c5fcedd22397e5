//! Updates and conditions as DynamoDB's expressions. Every attribute name gets an alias, since many are reserved words.

use super::{Condition, Update, Value};
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

/// The texts of an update, and what their placeholders mean.
#[derive(Debug, Default)]
pub(super) struct Expressions {
    pub(super) update: Option<String>,
    pub(super) condition: Option<String>,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

impl Expressions {
    pub(super) fn of(update: &Update) -> Self {
        let mut expressions = Self::default();
        let mut clauses = Vec::new();
        if !update.set.is_empty() {
            let set = update.set.iter().map(|(name, value)| expressions.name_and_value(name, " = ", value));
            clauses.push(format!("SET {}", set.collect::<Vec<_>>().join(", ")));
        }
        if !update.add.is_empty() {
            let add = update.add.iter().map(|(name, value)| expressions.name_and_value(name, " ", value));
            clauses.push(format!("ADD {}", add.collect::<Vec<_>>().join(", ")));
        }
        if !update.delete.is_empty() {
            let delete =
                update.delete.iter().map(|(name, value)| expressions.name_and_value(name, " ", value));
            clauses.push(format!("DELETE {}", delete.collect::<Vec<_>>().join(", ")));
        }
        if !update.remove.is_empty() {
            let remove = update.remove.iter().map(|name| expressions.name(name));
            clauses.push(format!("REMOVE {}", remove.collect::<Vec<_>>().join(", ")));
        }
        expressions.update = (!clauses.is_empty()).then(|| clauses.join(" "));
        expressions.condition = (!update.when.is_empty()).then(|| expressions.all(&update.when));
        expressions
    }

    /// The expressions of a condition alone.
    pub(super) fn of_condition(when: &Condition) -> Self {
        let mut expressions = Self::default();
        expressions.condition = Some(expressions.one(when));
        expressions
    }

    /// The placeholder of a name: itself after `#`, which is never reserved.
    pub(super) fn name(&mut self, name: &str) -> String {
        let alias = format!("#{name}");
        self.names.insert(alias.clone(), name.to_owned());
        alias
    }

    pub(super) fn value(&mut self, value: &Value) -> String {
        let alias = format!(":v{}", self.values.len());
        self.values.insert(alias.clone(), attribute(value));
        alias
    }

    fn name_and_value(&mut self, name: &str, between: &str, value: &Value) -> String {
        format!("{}{between}{}", self.name(name), self.value(value))
    }

    fn all(&mut self, conditions: &[Condition]) -> String {
        let texts = conditions.iter().map(|condition| self.one(condition));
        texts.collect::<Vec<_>>().join(" AND ")
    }

    fn one(&mut self, condition: &Condition) -> String {
        match condition {
            Condition::Exists(name) => format!("attribute_exists({})", self.name(name)),
            Condition::Absent(name) => format!("attribute_not_exists({})", self.name(name)),
            Condition::Equals(name, value) => self.name_and_value(name, " = ", value),
            Condition::Below(name, number) => self.name_and_value(name, " < ", &Value::Number(*number)),
            Condition::AtMost(name, number) => self.name_and_value(name, " <= ", &Value::Number(*number)),
            Condition::MoreThan(name, number) => self.name_and_value(name, " > ", &Value::Number(*number)),
            Condition::NotContains(name, member) => {
                format!("NOT contains({}, {})", self.name(name), self.value(&Value::Number(*member)))
            }
            Condition::Contains(name, member) => {
                format!("contains({}, {})", self.name(name), self.value(&Value::Number(*member)))
            }
            Condition::AnyOf(lists) => {
                let texts = lists.iter().map(|list| format!("({})", self.all(list)));
                format!("({})", texts.collect::<Vec<_>>().join(" OR "))
            }
        }
    }
}

pub(super) fn attribute(value: &Value) -> AttributeValue {
    match value {
        Value::Text(text) => AttributeValue::S(text.clone()),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::Numbers(numbers) => AttributeValue::Ns(numbers.iter().map(i64::to_string).collect()),
    }
}

/// The value of an attribute; none if it is of a type that host never writes.
pub(super) fn value(attribute: &AttributeValue) -> Option<Value> {
    match attribute {
        AttributeValue::S(text) => Some(Value::Text(text.clone())),
        AttributeValue::N(number) => Some(Value::Number(number.parse().ok()?)),
        AttributeValue::Ns(numbers) => {
            let numbers = numbers.iter().map(|number| number.parse().ok());
            Some(Value::Numbers(numbers.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Key;

    #[test]
    fn an_update_becomes_expressions_with_aliases_only() {
        let update = Update::new(Key::new("p", "s"))
            .set("status", "DONE")
            .add("fence", 1i64)
            .add_member("completed_chunks", 7)
            .remove_member("full_segments", 2)
            .remove("samples")
            .when(Condition::Exists("pk"))
            .when(Condition::AnyOf(vec![
                vec![Condition::Equals("state", "PENDING".into())],
                vec![Condition::AtMost("lease_until", 5), Condition::NotContains("completed_chunks", 7)],
            ]))
            .when(Condition::Contains("full_segments", 2));
        let expressions = Expressions::of(&update);
        assert_eq!(
            expressions.update.as_deref(),
            Some(
                "SET #status = :v0 ADD #fence :v1, #completed_chunks :v2 DELETE #full_segments :v3 REMOVE #samples"
            )
        );
        assert_eq!(
            expressions.condition.as_deref(),
            Some(
                "attribute_exists(#pk) AND ((#state = :v4) OR (#lease_until <= :v5 AND \
                 NOT contains(#completed_chunks, :v6))) AND contains(#full_segments, :v7)"
            )
        );
        assert_eq!(expressions.names.len(), 8);
        assert_eq!(expressions.values[":v2"], AttributeValue::Ns(vec!["7".to_owned()]));
    }
}
