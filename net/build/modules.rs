//! Writes a module for each .proto file that names what the file declares: all messages live in
//! one package, but a reader looks for them by subject.

use protox::prost_reflect::prost_types::FileDescriptorSet;
use std::fmt::{Error, Write};

pub(crate) fn generate(files: &FileDescriptorSet) -> Result<String, Error> {
    let mut text = String::new();
    for file in &files.file {
        let subject = file.name().rsplit('/').next().unwrap_or_default().trim_end_matches(".proto");
        writeln!(text, "/// What `{}` declares.\npub mod {subject} {{", file.name())?;
        for message in &file.message_type {
            writeln!(text, "    pub use super::v1::{};", message.name())?;
            // prost puts what is nested in a message, its oneofs above all, into a module of its own.
            let holds_more = message.oneof_decl.iter().enumerate().any(|(index, _)| {
                let index = index as i32;
                message.field.iter().any(|field| field.oneof_index == Some(index) && !field.proto3_optional())
            });
            if holds_more {
                writeln!(text, "    pub use super::v1::{};", snake_case(message.name()))?;
            }
        }
        for enumeration in &file.enum_type {
            writeln!(text, "    pub use super::v1::{};", enumeration.name())?;
        }
        for service in &file.service {
            let name = service.name();
            writeln!(text, "    pub use super::v1::{{{name}, {name}Client, {name}Handler}};")?;
            writeln!(text, "    pub use super::v1::{}_methods;", snake_case(name))?;
        }
        writeln!(text, "}}")?;
    }
    Ok(text)
}

pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
