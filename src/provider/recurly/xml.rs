//! XML of one notification as a small tree.
//!
//! What makes XML dangerous is refused: document types, entities of one's own,
//! depth, crowds of elements. This knows the form that Recurly's libraries give
//! every document (`nil`, empty elements) and no notification.

use quick_xml::Reader;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};

use crate::provider::Unreadable;

/// Levels of elements. Recurly's notifications have five.
const DEPTH_MAX: usize = 32;

/// Elements in one document. An invoice with many subscriptions has some
/// hundreds.
const ELEMENTS_MAX: usize = 10_000;

/// Attributes of one element. Recurly writes two; duplicates are looked for
/// pair by pair.
const ATTRIBUTES_MAX: usize = 16;

/// Characters in a value that is read. Recurly's longest is an account code
/// with 50 or an email address.
const VALUE_CHARS_MAX: usize = 255;

/// One element.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name as written.
    pub name: String,
    text: String,
    /// `nil`: it has no value, whatever stands in it.
    nil: bool,
    children: Vec<Element>,
}

impl Element {
    /// The child called `name`. Two of them could mean two things.
    pub fn child(&self, path: &str, name: &str) -> Result<Option<&Element>, Unreadable> {
        let mut found = self.children.iter().filter(|child| child.name == name);
        let first = found.next();
        match found.next() {
            Some(_) => Err(Unreadable::field(path, "stands there more than once")),
            None => Ok(first),
        }
    }

    /// All children called `name`.
    pub fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The value, outer white space removed. Nil and empty are none.
    pub fn value(&self, path: &str) -> Result<Option<&str>, Unreadable> {
        if self.nil {
            return Ok(None);
        }
        if !self.children.is_empty() {
            return Err(Unreadable::field(path, "is not a plain value"));
        }
        let value = self.text.trim();
        if value.chars().any(char::is_control) {
            return Err(Unreadable::field(path, "holds a control character"));
        }
        if value.len() > VALUE_CHARS_MAX && value.chars().count() > VALUE_CHARS_MAX {
            return Err(Unreadable::field(path, "is longer than 255 characters"));
        }
        Ok(Some(value).filter(|value| !value.is_empty()))
    }

    /// The value of the child called `name`, if there is one.
    pub fn value_of(&self, path: &str, name: &str) -> Result<Option<&str>, Unreadable> {
        match self.child(path, name)? {
            Some(child) => child.value(path),
            None => Ok(None),
        }
    }
}

/// Reads the root element of a document.
pub fn read(text: &str) -> Result<Element, Unreadable> {
    let mut reader = Reader::from_str(text);
    let mut tree = Tree::default();
    loop {
        match reader.read_event() {
            Ok(Event::Eof) => return tree.root(),
            Ok(event) => tree.take(event)?,
            Err(_) => return Err(malformed()),
        }
    }
}

fn malformed() -> Unreadable {
    Unreadable::because("the body is not well-formed XML")
}

/// A document in the making. It is a list of open elements and not a recursion,
/// so that no document decides about the stack.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Tree {
    fn take(&mut self, event: Event<'_>) -> Result<(), Unreadable> {
        match event {
            Event::Start(start) => self.begin(&start),
            Event::Empty(start) => {
                self.begin(&start)?;
                self.end()
            }
            Event::End(_) => self.end(),
            Event::Text(text) => self.write(&text.xml10_content()),
            Event::CData(text) => self.write(&text.xml10_content()),
            Event::GeneralRef(reference) => self.write(resolve(&reference)?.as_str()),
            Event::Decl(declaration) => utf8_only(&declaration),
            Event::DocType(_) => Err(Unreadable::because(
                "the XML has a document type, which no notification has",
            )),
            Event::Comment(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), Unreadable> {
        if self.open.len() >= DEPTH_MAX {
            return Err(Unreadable::because(
                "the XML is nested deeper than 32 levels",
            ));
        }
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(Unreadable::because("the XML has more than 10000 elements"));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err(malformed());
        }
        self.open.push(Element {
            name: start.name().as_ref().to_owned(),
            nil: nil(start)?,
            ..Element::default()
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Unreadable> {
        let element = self.open.pop().ok_or_else(malformed)?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    /// Text belongs to the innermost element; around the root only white space
    /// may stand.
    fn write(&mut self, text: &str) -> Result<(), Unreadable> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(malformed()),
        }
        Ok(())
    }

    fn root(self) -> Result<Element, Unreadable> {
        match (self.root, self.open.is_empty()) {
            (Some(root), true) => Ok(root),
            (None, true) => Err(Unreadable::because("the body is empty")),
            (_, false) => Err(Unreadable::because("the XML ends too early")),
        }
    }
}

/// Whether the element says that it has no value. Older libraries of Recurly's
/// wrote the word `nil` for `true`.
fn nil(start: &BytesStart<'_>) -> Result<bool, Unreadable> {
    let mut nil = false;
    for (index, attribute) in start.attributes().enumerate() {
        if index >= ATTRIBUTES_MAX {
            return Err(Unreadable::because(
                "the XML has an element with more than 16 attributes",
            ));
        }
        let attribute = attribute.map_err(|_| malformed())?;
        nil |=
            attribute.key.as_ref() == "nil" && matches!(attribute.value.as_ref(), "true" | "nil");
    }
    Ok(nil)
}

/// One of the five entities that XML has by itself, or a character by number.
fn resolve(reference: &BytesRef<'_>) -> Result<String, Unreadable> {
    if let Some(character) = reference.resolve_char_ref().map_err(|_| malformed())? {
        return Ok(character.to_string());
    }
    let text = match reference.xml10_content().as_ref() {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => {
            return Err(Unreadable::because(
                "the XML names an entity that XML does not have by itself",
            ));
        }
    };
    Ok(text.to_owned())
}

/// The bytes were read as UTF-8; a document that says otherwise was misread.
fn utf8_only(declaration: &BytesDecl<'_>) -> Result<(), Unreadable> {
    let Some(encoding) = declaration.encoding() else {
        return Ok(());
    };
    let encoding = encoding.map_err(|_| malformed())?;
    match encoding.eq_ignore_ascii_case("utf-8") || encoding.eq_ignore_ascii_case("us-ascii") {
        true => Ok(()),
        false => Err(Unreadable::because(
            "the XML declares an encoding other than UTF-8",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        read(text).map_or_else(|error| error.reason, |_| "read".to_owned())
    }

    #[test]
    fn a_value_is_what_the_text_means() {
        let root =
            read("<a><b> x &amp; &#x41;<![CDATA[<y>]]>\n</b><c nil='true'>z</c><d/></a>").unwrap();
        assert_eq!(root.name, "a");
        assert_eq!(root.value_of("b", "b").unwrap(), Some("x & A<y>"));
        for absent in ["c", "d", "e"] {
            assert_eq!(root.value_of(absent, absent).unwrap(), None, "{absent}");
        }
        assert!(root.value("a").is_err());
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        let root = read("<a><b>1</b><b>2</b><c>&#x7;</c></a>").unwrap();
        assert!(root.value_of("b", "b").is_err());
        assert!(root.value_of("c", "c").is_err());
        assert_eq!(root.all("b").count(), 2);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let malformed = malformed().reason;
        for text in [
            "<a></b>",
            "<a/><b/>",
            "x<a/>",
            "<a/>x",
            "<a b></a>",
            "<a>&</a>",
            "</a>",
            "<a",
        ] {
            assert_eq!(reason(text), malformed, "{text}");
        }
        assert_eq!(reason("<a><b></b>"), "the XML ends too early");
        assert_eq!(reason(" "), "the body is empty");
        assert!(reason("<?xml version='1.0' encoding='ISO-8859-1'?><a/>").contains("encoding"));
        assert_eq!(
            reason("<?xml version='1.0' encoding='utf-8'?><!-- - --><a/>\n"),
            "read"
        );
    }

    #[test]
    fn what_would_grow_is_refused() {
        let nested = |levels: usize| format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels));
        assert_eq!(reason(&nested(DEPTH_MAX)), "read");
        assert!(reason(&nested(DEPTH_MAX + 1)).contains("32"));
        assert!(reason(&format!("<a>{}</a>", "<b/>".repeat(ELEMENTS_MAX))).contains("10000"));
        let attributes: String = (0..=ATTRIBUTES_MAX).map(|n| format!(" n{n}='1'")).collect();
        assert!(reason(&format!("<a{attributes}/>")).contains("16"));
        assert!(reason("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>").contains("document type"));
        assert!(reason("<a>&x;</a>").contains("entity"));
    }
}
