//! Writes the values that the user's code sends as JSON.
//!
//! A `Result` of two serialisable types is serialisable itself: as `{"Ok":..}` or `{"Err":..}`. Sent as it is, an error
//! would leave with status 200. So a value that is a `Result`, or an `Option` of one, is an error here. A `Result` in a
//! field, a list or a newtype is serialised as usual: there the type says so on purpose.
//!
//! Serde names the type without its path, and a program may have an enum `Result` of its own. So the type's full name decides, as
//! for the results of tasks.

use std::fmt;
use std::io;

use serde_core::ser::{Error as _, Serialize, Serializer};

/// What is wrong with a `Result`, and what to do.
pub(crate) const IS_A_RESULT: &str = "a `Result` cannot be sent: it would become `{\"Ok\":..}` or `{\"Err\":..}`; make it the \
     return type of the handler, stream it with `Response::try_stream`, or take the value out of it first";

type Inner<'a, W> = &'a mut serde_json::Serializer<W>;

/// Writes `value` as JSON.
///
/// # Errors
///
/// `value` is a [`Result`](IS_A_RESULT), or cannot be serialised; or `writer` fails.
pub(crate) fn to_writer<W, T>(writer: W, value: &T) -> serde_json::Result<()>
where
    W: io::Write,
    T: Serialize + ?Sized,
{
    value.serialize(Outermost {
        inner: &mut serde_json::Serializer::new(writer),
        wraps_result: wraps_result::<T>,
    })
}

/// Like [`to_writer`], into a text.
pub(crate) fn to_string<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    let mut text = Vec::with_capacity(128);
    to_writer(&mut text, value)?;
    String::from_utf8(text).map_err(serde_json::Error::custom)
}

/// Whether `T` is a `Result`; no value is needed. It does not see through a reference or a `Box`, which [`to_writer`] does.
pub(crate) fn is_result<T: ?Sized>() -> bool {
    std::any::type_name::<T>().starts_with(RESULT)
}

/// Whether `T` is a `Result`, or wraps one in types that serde sees through: references, owning pointers and `Option`.
fn wraps_result<T: ?Sized>() -> bool {
    let mut name = std::any::type_name::<T>();
    loop {
        match TRANSPARENT
            .iter()
            .find_map(|start| name.strip_prefix(start))
        {
            Some(inner) => name = inner,
            None => return name.starts_with(RESULT),
        }
    }
}

/// How the name of `Result` begins.
const RESULT: &str = "core::result::Result<";
/// How the names of types begin that serde serialises as their content.
const TRANSPARENT: [&str; 8] = [
    "&mut ",
    "&",
    "alloc::boxed::Box<",
    "core::option::Option<",
    "alloc::sync::Arc<",
    "alloc::rc::Rc<",
    // Whether the name has the lifetime depends on the version of rustc.
    "alloc::borrow::Cow<'_, ",
    "alloc::borrow::Cow<",
];

/// Passes every value but a `Result` on to serde_json. The content of the value meets serde_json itself, so the check costs
/// nothing there.
struct Outermost<'a, W> {
    inner: Inner<'a, W>,
    /// Whether the type may be a `Result`. It is called only for values that look like one.
    wraps_result: fn() -> bool,
}

macro_rules! pass_on {
    ($($method:ident($($argument:ident: $type:ty),*) $(-> $returned:ident)?;)+) => {$(
        #[inline]
        fn $method(self, $($argument: $type),*) -> Result<pass_on!(@ $($returned)?), Self::Error> {
            self.inner.$method($($argument),*)
        }
    )+};
    (@) => { () };
    (@ $returned:ident) => { Self::$returned };
}

impl<'a, W: io::Write> Serializer for Outermost<'a, W> {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = <Inner<'a, W> as Serializer>::SerializeSeq;
    type SerializeTuple = <Inner<'a, W> as Serializer>::SerializeTuple;
    type SerializeTupleStruct = <Inner<'a, W> as Serializer>::SerializeTupleStruct;
    type SerializeTupleVariant = <Inner<'a, W> as Serializer>::SerializeTupleVariant;
    type SerializeMap = <Inner<'a, W> as Serializer>::SerializeMap;
    type SerializeStruct = <Inner<'a, W> as Serializer>::SerializeStruct;
    type SerializeStructVariant = <Inner<'a, W> as Serializer>::SerializeStructVariant;

    pass_on! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_f32(value: f32);
        serialize_f64(value: f64);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
        serialize_seq(length: Option<usize>) -> SerializeSeq;
        serialize_tuple(length: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, length: usize) -> SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, length: usize)
            -> SerializeTupleVariant;
        serialize_map(length: Option<usize>) -> SerializeMap;
        serialize_struct(name: &'static str, length: usize) -> SerializeStruct;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, length: usize)
            -> SerializeStructVariant;
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Self::Error> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Self::Error> {
        self.inner.serialize_newtype_struct(name, value)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Self::Error> {
        // Serde writes the standard `Result` under these names. A derive writes the same names for any other enum `Result`.
        if name == "Result" && matches!(variant, "Ok" | "Err") && (self.wraps_result)() {
            return Err(Self::Error::custom(IS_A_RESULT));
        }
        self.inner
            .serialize_newtype_variant(name, index, variant, value)
    }

    #[inline]
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Self::Error> {
        self.inner.collect_str(value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::{Value, json};

    use super::*;

    type Outcome = Result<u32, String>;

    fn is_refused<T: Serialize + ?Sized>(value: &T) -> bool {
        match to_string(value) {
            Ok(text) => {
                assert_eq!(text, serde_json::to_string(value).unwrap());
                false
            }
            Err(error) => {
                assert_eq!(error.to_string(), IS_A_RESULT);
                true
            }
        }
    }

    #[test]
    fn a_result_is_refused_by_whatever_way_it_comes() {
        let (ok, err): (Outcome, Outcome) = (Ok(1), Err("no".to_owned()));
        assert!(is_refused(&ok) && is_refused(&err));
        assert!(is_refused(&&ok) && is_refused(&Box::new(err.clone())));
        assert!(is_refused(&Some(&err)) && is_refused(&Some(Some(&ok))));
        assert!(is_refused(&std::borrow::Cow::Borrowed(&ok)));
        assert!(is_refused(&Some(Box::new(&mut { err }))));
    }

    #[test]
    fn an_enum_of_that_name_is_none() {
        mod own {
            #[derive(Clone, serde::Serialize)]
            pub(super) enum Result<T> {
                Ok(T),
                Err(String),
                Unknown,
            }
        }
        use own::Result;
        let (ok, err) = (Result::Ok(1), Result::<u8>::Err("no".to_owned()));
        assert!(!is_refused(&ok) && !is_refused(&err) && !is_refused(&Result::<u8>::Unknown));
        assert!(!is_refused(&&ok) && !is_refused(&Box::new(err.clone())));
        assert!(!is_refused(&Some(err)) && !is_refused(&Some(Some(&ok))));
        assert_eq!(to_string(&ok).unwrap(), r#"{"Ok":1}"#);
    }

    #[test]
    fn a_result_within_a_value_is_not() {
        #[derive(Serialize)]
        struct Newtype(Outcome);
        #[derive(Serialize)]
        struct Report {
            steps: Vec<Outcome>,
        }
        assert!(!is_refused(&Newtype(Ok(1))));
        assert!(!is_refused(&(Outcome::Ok(1), 2)));
        assert!(!is_refused(&BTreeMap::from([("a", Outcome::Ok(1))])));
        let steps = vec![Ok(1), Err("no".to_owned())];
        assert!(!is_refused(&Report { steps }));
    }

    #[test]
    fn every_kind_of_value_is_as_in_serde_json() {
        #[derive(Serialize)]
        enum Kinds {
            Unit,
            Newtype(u8),
            Tuple(u8, f32),
            Struct {
                a: char,
            },
            #[serde(untagged)]
            Untagged(Value),
        }
        #[derive(Serialize)]
        struct Unit;
        #[derive(Serialize)]
        struct Tuple(i8, i16);
        let display = format_args!("{}{}", 1, "\"").to_string();
        assert!(!is_refused(&Kinds::Unit));
        assert!(!is_refused(&Kinds::Newtype(1)));
        assert!(!is_refused(&Kinds::Tuple(1, 0.5)));
        assert!(!is_refused(&Kinds::Struct { a: 'ü' }));
        assert!(!is_refused(&Kinds::Untagged(json!({ "a": [null] }))));
        assert!(!is_refused(&Unit) && !is_refused(&Tuple(-1, -2)));
        assert!(!is_refused(&(i128::MIN, u128::MAX)));
        assert!(!is_refused(&i128::MIN) && !is_refused(&u128::MAX));
        assert!(!is_refused(&f64::NAN) && !is_refused(&None::<u8>) && !is_refused(&()));
        assert!(!is_refused(&std::net::Ipv4Addr::LOCALHOST) && !is_refused(&display));
        assert!(!is_refused(&b"bytes"[..]) && !is_refused(&format_args!("{}", 1)));
        let no_key = BTreeMap::from([((1, 2), 3)]);
        assert_eq!(
            to_string(&no_key).unwrap_err().to_string(),
            serde_json::to_string(&no_key).unwrap_err().to_string()
        );
    }

    #[test]
    fn a_type_is_known_to_be_a_result_before_there_is_a_value() {
        assert!(is_result::<Outcome>() && is_result::<Result<(), ()>>());
        assert!(!is_result::<Vec<Outcome>>() && !is_result::<str>());
    }

    proptest! {
        #[test]
        fn values_are_as_in_serde_json(text in ".*", number: i64, fraction: f64) {
            let value = json!({ "text": text, "list": [number, fraction, true, null] });
            prop_assert_eq!(to_string(&value).unwrap(), value.to_string());
            prop_assert_eq!(to_string(&text).unwrap(), json!(text).to_string());
        }
    }
}
