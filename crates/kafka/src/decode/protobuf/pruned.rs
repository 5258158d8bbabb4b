//! A body without the fields that nothing asks for, so that they cost nothing and reject nothing.

use prost_reflect::prost::encoding::{
    self, DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint,
};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::decode::fields::Node;

/// The depth to which messages are pruned; deeper values are kept whole.
const DEPTH_MAX: usize = 30;

/// Returns the body with the fields on the way to what is wanted at `node`; `None` if it is not one
/// field behind the other.
pub(super) fn pruned(descriptor: &MessageDescriptor, node: &Node, body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    prune(descriptor, node, body, &mut out, 0)?;
    Some(out)
}

fn prune(
    descriptor: &MessageDescriptor,
    node: &Node,
    body: &[u8],
    out: &mut Vec<u8>,
    depth: usize,
) -> Option<()> {
    let mut rest = body;
    while !rest.is_empty() {
        let begin = rest;
        let (tag, wire) = decode_key(&mut rest).ok()?;
        let behind_key = rest;
        encoding::skip_field(wire, tag, &mut rest, DecodeContext::default()).ok()?;
        let whole = &begin[..begin.len() - rest.len()];
        let Some(field) = descriptor.get_field(tag) else {
            // An extension is named in brackets.
            if descriptor.get_extension(tag).is_some_and(|known| is_on_the_way(node, known.json_name())) {
                out.extend_from_slice(whole);
            }
            continue;
        };
        match node.member(field.name().as_bytes()) {
            Some(inside) if wire == WireType::LengthDelimited && depth < DEPTH_MAX => {
                let Some(message) = inner(&field).filter(|_| !inside.is_wanted()) else {
                    out.extend_from_slice(whole);
                    continue;
                };
                let mut content = behind_key;
                decode_varint(&mut content).ok()?;
                let content = &content[..content.len() - rest.len()];
                let mut kept = Vec::with_capacity(content.len());
                prune(&message, inside, content, &mut kept, depth + 1)?;
                encode_key(tag, wire, out);
                encode_varint(kept.len() as u64, out);
                out.append(&mut kept);
            }
            Some(_) => out.extend_from_slice(whole),
            // Of the members of a `oneof` the last one counts: all of them say which one that is.
            None if shares_oneof(&field, node) => out.extend_from_slice(whole),
            None => {}
        }
    }
    Some(())
}

/// The message in a field, if a path goes through its fields as they are named.
fn inner(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if !field.is_list() && !field.is_map() => {
            Some(message).filter(|message| !message.full_name().starts_with("google.protobuf."))
        }
        _ => None,
    }
}

fn shares_oneof(field: &FieldDescriptor, node: &Node) -> bool {
    field
        .containing_oneof()
        .is_some_and(|oneof| oneof.fields().any(|other| is_on_the_way(node, other.name())))
}

fn is_on_the_way(node: &Node, name: &str) -> bool {
    node.member(name.as_bytes()).is_some()
}
