//! Names in other spellings: the struct's for its collection, serde's `rename_all`, the constants'.

/// `UserEmail` or `userEmail` as `user_email`. Letters that stand together as capitals stay together: `HTTPServer` is
/// `http_server`.
pub(crate) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let next_is_small = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins_a_word = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || before.is_uppercase() && next_is_small
            });
        if begins_a_word {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// The name of the constant of a Rust field.
pub(crate) fn constant_case(field: &str) -> String {
    snake_case(field).to_uppercase()
}

/// What serde's `rename_all` makes of a struct's field, whose name is in snake case. `None`: serde knows no such rule (and
/// says so itself).
pub(crate) fn rename_all(rule: &str, field: &str) -> Option<String> {
    let words = || field.split('_').map(capitalized);
    Some(match rule {
        "lowercase" | "snake_case" => field.to_owned(),
        "UPPERCASE" | "SCREAMING_SNAKE_CASE" => field.to_ascii_uppercase(),
        "PascalCase" => words().collect(),
        "camelCase" => {
            let pascal: String = words().collect();
            let mut letters = pascal.chars();
            let first = letters.next().map(|first| first.to_ascii_lowercase());
            first.into_iter().chain(letters).collect()
        }
        "kebab-case" => field.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => field.to_ascii_uppercase().replace('_', "-"),
        _ => return None,
    })
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_case_of_types_and_fields() {
        for (name, snake) in [
            ("Note", "note"),
            ("UserEmail", "user_email"),
            ("HTTPServer", "http_server"),
            ("Sha256Sum", "sha256_sum"),
            ("created_at", "created_at"),
            ("createdAt", "created_at"),
            ("_hidden", "_hidden"),
        ] {
            assert_eq!(snake_case(name), snake);
        }
        assert_eq!(constant_case("created_at"), "CREATED_AT");
    }

    #[test]
    fn all_rules_of_serde() {
        for (rule, name) in [
            ("lowercase", "created_at"),
            ("UPPERCASE", "CREATED_AT"),
            ("PascalCase", "CreatedAt"),
            ("camelCase", "createdAt"),
            ("snake_case", "created_at"),
            ("SCREAMING_SNAKE_CASE", "CREATED_AT"),
            ("kebab-case", "created-at"),
            ("SCREAMING-KEBAB-CASE", "CREATED-AT"),
        ] {
            assert_eq!(rename_all(rule, "created_at").as_deref(), Some(name), "{rule}");
        }
        assert_eq!(rename_all("Title Case", "created_at"), None);
    }
}
