//! [`Address`]: what the address of a database says of TLS, and the rest of it, which is for the driver.

use std::iter::Peekable;
use std::str::Chars;

use percent_encoding::percent_decode_str;

/// An address in two parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// What the driver understands.
    pub(super) driver: String,
    pub(super) is_encrypted: bool,
    /// The file whose certificates are trusted.
    pub(super) root_certificates: Option<String>,
}

impl Address {
    /// The error says what is wrong.
    pub(super) fn parse(address: &str) -> Result<Self, String> {
        let (base, parameters) = match address.split_once("://") {
            Some(("postgresql" | "postgres", rest)) => of_url(address, rest)?,
            _ => (String::new(), of_words(address)?),
        };
        let mut taken = Self { driver: base, is_encrypted: false, root_certificates: None };
        for Parameter { name, value, text } in parameters {
            match name.as_str() {
                "sslmode" => taken.is_encrypted = is_encrypted(&value)?,
                "sslrootcert" => taken.root_certificates = Some(value),
                _ => taken.driver.push_str(&text),
            }
        }
        if taken.root_certificates.is_some() && !taken.is_encrypted {
            return Err("sslrootcert says whom to trust, but the connection is not encrypted: \
                        add sslmode=verify-full"
                .to_owned());
        }
        Ok(taken)
    }
}

fn is_encrypted(mode: &str) -> Result<bool, String> {
    match mode {
        "disable" | "prefer" => Ok(false),
        "require" | "verify-ca" | "verify-full" => Ok(true),
        other => Err(format!("sslmode is `{other}`; give verify-full, or disable")),
    }
}

struct Parameter {
    name: String,
    value: String,
    /// As it is given to the driver, if it is.
    text: String,
}

/// `postgresql://user:password@host/name?name=value&…`. As for the driver, what is in front of the first `@` is no query.
fn of_url(address: &str, rest: &str) -> Result<(String, Vec<Parameter>), String> {
    let start = address.len() - rest.len() + rest.find('@').unwrap_or(0);
    let Some(at) = address[start..].find('?') else { return Ok((address.to_owned(), Vec::new())) };
    let (base, query) = address.split_at(start + at);
    let mut parameters = Vec::new();
    for part in query[1..].split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let decoded = |text| percent_decode_str(text).decode_utf8().map(Into::into);
        let (Ok(name), Ok(value)) = (decoded(name), decoded(value)) else {
            return Err("a parameter is not UTF-8".to_owned());
        };
        parameters.push(Parameter { name, value, text: format!("{part}&") });
    }
    Ok((format!("{base}?"), parameters))
}

/// `name=value name='a value' …`
fn of_words(address: &str) -> Result<Vec<Parameter>, String> {
    let (mut parameters, mut rest) = (Vec::new(), address.chars().peekable());
    loop {
        skip_space(&mut rest);
        if rest.peek().is_none() {
            return Ok(parameters);
        }
        let mut name = String::new();
        while let Some(next) = rest.next_if(|it| !it.is_whitespace() && *it != '=') {
            name.push(next);
        }
        skip_space(&mut rest);
        if rest.next_if_eq(&'=').is_none() {
            // It is not repeated: it may be a part of a password.
            return Err("it is not of the form `name=value name=value`".to_owned());
        }
        skip_space(&mut rest);
        let value = value(&mut rest).ok_or_else(|| "a value has no end".to_owned())?;
        let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
        let text = format!("{name}='{quoted}' ");
        parameters.push(Parameter { name, value, text });
    }
}

/// `None`: it has no end.
fn value(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let (mut value, is_quoted) = (String::new(), rest.next_if_eq(&'\'').is_some());
    loop {
        match rest.peek() {
            Some('\'') if is_quoted => {
                rest.next();
                return Some(value);
            }
            Some(space) if !is_quoted && space.is_whitespace() => return Some(value),
            None if !is_quoted => return Some(value),
            Some('\\') => {
                rest.next();
                value.push(rest.next()?);
            }
            _ => value.push(rest.next()?),
        }
    }
}

fn skip_space(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|it| it.is_whitespace()).is_some() {}
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    fn parse(address: &str) -> Address {
        Address::parse(address).unwrap()
    }

    #[test]
    fn what_is_said_of_tls_is_taken_out_and_the_driver_gets_the_same_rest() {
        let plain = [
            "postgresql://ada:pass?word@db.example:5433/storex",
            "postgres://db.example/storex?application_name=a%20b&connect_timeout=3",
            "host=db.example user = 'a d\\'a' password=p\\\\w dbname=storex",
            "host=a,b port=1,2",
            "",
        ];
        let driver = |text: &str| tokio_postgres::Config::from_str(text).unwrap();
        for address in plain {
            let Address { driver: rest, is_encrypted, root_certificates } = parse(address);
            assert_eq!(driver(&rest), driver(address), "{address}");
            assert_eq!((is_encrypted, root_certificates), (false, None), "{address}");
        }
        for (joined, address) in [("&", plain[1]), ("?", plain[0]), (" ", plain[2])] {
            let quoted = if joined == " " { "'/a b'" } else { "/a%20b" };
            let tls = format!("{address}{joined}sslrootcert={quoted}");
            let tls = format!("{tls}{}sslmode=verify-full", joined.replace('?', "&"));
            let Address { driver: rest, is_encrypted, root_certificates } = parse(&tls);
            assert_eq!(driver(&rest), driver(address), "{tls}");
            assert_eq!((is_encrypted, root_certificates.as_deref()), (true, Some("/a b")), "{tls}");
        }
    }

    #[test]
    fn modes_of_libpq_that_encrypt_always_verify() {
        for mode in ["require", "verify-ca", "verify-full"] {
            assert!(parse(&format!("host=db sslmode={mode}")).is_encrypted, "{mode}");
            assert!(parse(&format!("postgresql://db?sslmode={mode}")).is_encrypted, "{mode}");
        }
        for mode in ["disable", "prefer"] {
            assert!(!parse(&format!("host=db sslmode={mode}")).is_encrypted, "{mode}");
        }
        // The last one counts.
        assert!(!parse("sslmode=require sslmode=disable").is_encrypted);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for wrong in [
            "host=db sslmode=allow",
            "postgresql://db?sslmode=",
            "host=db sslrootcert=/a",
            "host=db sslmode=prefer sslrootcert=/a",
            "host='db",
            "host=db\\",
            "host",
        ] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }
}
