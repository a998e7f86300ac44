//! Writes, for each service of the .proto files, a trait to implement, a handler that puts the trait
//! behind our RPC, and a client that calls it. Knows nothing of what the services do.

use crate::modules::snake_case;
use prost_build::{Comments, Method, Service, ServiceGenerator};
use protox::prost_reflect::{DescriptorPool, MethodDescriptor};
use std::collections::BTreeMap;
use std::error::Error;

/// What `options.proto` says of a method.
#[derive(Clone, Copy)]
struct Options {
    number: u32,
    one_way: bool,
    request_body: bool,
    reply_body: bool,
    vital: bool,
}

/// The options of every method, by service and method.
pub(crate) struct Services {
    options: BTreeMap<(String, String), Options>,
}

impl Services {
    pub(crate) fn read(pool: &DescriptorPool) -> Result<Self, Box<dyn Error>> {
        let mut options = BTreeMap::new();
        let mut numbers = BTreeMap::new();
        for service in pool.services() {
            for method in service.methods() {
                let read = Options::read(pool, &method)?;
                if let Some(other) = numbers.insert(read.number, method.full_name().to_owned()) {
                    return Err(format!("{} and {other} have one number", method.full_name()).into());
                }
                options.insert((service.name().to_owned(), method.name().to_owned()), read);
            }
        }
        Ok(Self { options })
    }
}

impl Options {
    fn read(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<Self, Box<dyn Error>> {
        let values = method.options();
        let value = |name: &str| {
            let full_name = format!("mooseng.v1.{name}");
            let extension = pool.get_extension_by_name(&full_name).ok_or(format!("no option {full_name}"))?;
            Ok::<_, String>(values.get_extension(&extension).into_owned())
        };
        let switch = |name: &str| Ok::<_, String>(value(name)?.as_bool().unwrap_or(false));
        let options = Self {
            number: value("number")?.as_u32().unwrap_or(0),
            one_way: switch("one_way")?,
            request_body: switch("request_body")?,
            reply_body: switch("reply_body")?,
            vital: switch("vital")?,
        };
        if options.number == 0 {
            return Err(format!("{} has no number", method.full_name()).into());
        }
        if options.one_way && (options.request_body || options.reply_body) {
            return Err(format!("{} is one-way and cannot carry a body", method.full_name()).into());
        }
        Ok(options)
    }
}

impl ServiceGenerator for Services {
    fn generate(&mut self, service: Service, text: &mut String) {
        let methods: Vec<(&Method, Options)> = service
            .methods
            .iter()
            .map(|method| (method, self.options[&(service.proto_name.clone(), method.proto_name.clone())]))
            .collect();
        write_methods(&service, &methods, text);
        write_trait(&service, &methods, text);
        write_handler(&service, &methods, text);
        write_client(&service, &methods, text);
    }
}

fn constant(method: &Method) -> String {
    method.name.to_uppercase()
}

fn comment(comments: &Comments, indent: &str, text: &mut String) {
    for line in &comments.leading {
        text.push_str(&format!("{indent}/// {}\n", line.trim()));
    }
}

/// The descriptions of a service's methods, as constants and as a list.
fn write_methods(service: &Service, methods: &[(&Method, Options)], text: &mut String) {
    let name = &service.name;
    text.push_str(&format!("/// The methods of [`{name}`].\npub mod {}_methods {{\n", snake_case(name)));
    text.push_str("    use crate::rpc::Method;\n");
    for (method, options) in methods {
        text.push_str(&format!(
            "    pub static {}: Method = Method {{ number: {}, name: \"{name}.{}\", one_way: {} }};\n",
            constant(method),
            options.number,
            method.proto_name,
            options.one_way,
        ));
    }
    let all: Vec<String> = methods.iter().map(|(method, _)| format!("&{}", constant(method))).collect();
    text.push_str(&format!("    pub static ALL: &[&Method] = &[{}];\n}}\n\n", all.join(", ")));
}

fn write_trait(service: &Service, methods: &[(&Method, Options)], text: &mut String) {
    comment(&service.comments, "", text);
    text.push_str(&format!(
        "pub trait {}<E: mooseng_core::env::Env>: Clone + Send + Sync + 'static {{\n",
        service.name
    ));
    for (method, options) in methods {
        comment(&method.comments, "    ", text);
        let body = if options.request_body { ", body: bytes::Bytes" } else { "" };
        let answer = if options.one_way {
            "()".to_owned()
        } else {
            let reply = if options.reply_body {
                format!("({}, crate::rpc::BodyOf<E>)", method.output_type)
            } else {
                method.output_type.clone()
            };
            format!("Result<{reply}, crate::rpc::Status>")
        };
        text.push_str(&format!(
            "    fn {}(&self, call: crate::rpc::Call, request: {}{body}) -> impl Future<Output = {answer}> + Send;\n",
            method.name, method.input_type,
        ));
    }
    text.push_str("}\n\n");
}

/// Rust text: is `method` one of these?
fn matching(methods: &[(&Method, Options)], wanted: impl Fn(&Options) -> bool) -> String {
    let wanted = methods.iter().filter(|(_, options)| wanted(options));
    let numbers: Vec<u32> = wanted.map(|(_, options)| options.number).collect();
    format!("{numbers:?}.contains(&method)")
}

fn write_handler(service: &Service, methods: &[(&Method, Options)], text: &mut String) {
    let name = &service.name;
    let all = |_: &Options| true;
    let (numbers, vital) = (matching(methods, all), matching(methods, |options| options.vital));
    text.push_str(&format!(
        "/// Puts a [`{name}`] behind the RPC.\n\
         pub struct {name}Handler<E, S> {{\n    service: S,\n    env: std::marker::PhantomData<fn() -> E>,\n}}\n\n\
         impl<E, S> {name}Handler<E, S> {{\n    pub fn new(service: S) -> Self {{\n        \
         Self {{ service, env: std::marker::PhantomData }}\n    }}\n}}\n\n\
         impl<E, S: Clone> Clone for {name}Handler<E, S> {{\n    fn clone(&self) -> Self {{\n        \
         Self::new(self.service.clone())\n    }}\n}}\n\n\
         impl<E: mooseng_core::env::Env, S: {name}<E>> crate::rpc::Handler<E> for {name}Handler<E, S> {{\n    \
         fn serves(&self, method: u32) -> bool {{\n        {numbers}\n    }}\n\n    \
         fn is_vital(&self, method: u32) -> bool {{\n        {vital}\n    }}\n\n    \
         async fn handle(&self, method: u32, incoming: crate::rpc::Incoming) \
         -> Result<crate::rpc::Reply<crate::rpc::ExtentOf<E>>, crate::rpc::Status> {{\n        \
         match method {{\n"
    ));
    for (method, options) in methods {
        let body = if options.request_body { ", incoming.body" } else { "" };
        let call = format!(
            "self.service.{}(incoming.call, crate::rpc::decode_request(\"{name}.{}\", incoming.message)?{body}).await",
            method.name, method.proto_name
        );
        let arm = match (options.one_way, options.reply_body) {
            (true, _) => format!("{call};\n                Ok(crate::rpc::Reply::nothing())"),
            (false, true) => {
                format!(
                    "let (reply, body) = {call}?;\n                Ok(crate::rpc::Reply::of(&reply, body))"
                )
            }
            (false, false) => format!(
                "let reply = {call}?;\n                \
                 Ok(crate::rpc::Reply::of(&reply, mooseng_core::env::Body::Empty))"
            ),
        };
        text.push_str(&format!(
            "            {} => {{\n                {arm}\n            }}\n",
            options.number
        ));
    }
    text.push_str(
        "            other => Err(crate::rpc::Status::unimplemented(other)),\n        }\n    }\n}\n\n",
    );
}

fn write_client(service: &Service, methods: &[(&Method, Options)], text: &mut String) {
    let name = &service.name;
    text.push_str(&format!(
        "/// Calls a [`{name}`] over a channel.\n\
         pub struct {name}Client<E: mooseng_core::env::Env> {{\n    channel: crate::rpc::Channel<E>,\n}}\n\n\
         impl<E: mooseng_core::env::Env> Clone for {name}Client<E> {{\n    fn clone(&self) -> Self {{\n        \
         Self {{ channel: self.channel.clone() }}\n    }}\n}}\n\n\
         impl<E: mooseng_core::env::Env> {name}Client<E> {{\n    \
         pub fn new(channel: crate::rpc::Channel<E>) -> Self {{\n        Self {{ channel }}\n    }}\n\n    \
         pub fn channel(&self) -> &crate::rpc::Channel<E> {{\n        &self.channel\n    }}\n"
    ));
    for (method, options) in methods {
        text.push('\n');
        comment(&method.comments, "    ", text);
        write_client_method(service, method, *options, text);
    }
    text.push_str("}\n\n");
}

fn write_client_method(service: &Service, method: &Method, options: Options, text: &mut String) {
    let description = format!("&{}_methods::{}", snake_case(&service.name), constant(method));
    let (name, input, output) = (&method.name, &method.input_type, &method.output_type);
    if options.one_way {
        text.push_str(&format!(
            "    pub fn {name}(&self, request: &{input}) -> Result<(), crate::rpc::CallError> {{\n        \
             self.channel.notify_message({description}, request)\n    }}\n"
        ));
        return;
    }
    let (parameter, body) = if options.request_body {
        (", body: crate::rpc::BodyOf<E>", "body")
    } else {
        ("", "mooseng_core::env::Body::Empty")
    };
    let (result, finish) = if options.reply_body {
        (format!("({output}, bytes::Bytes)"), "Ok((reply, body))")
    } else {
        (output.clone(), "Ok(reply)")
    };
    let binding = if options.reply_body { "(reply, body)" } else { "(reply, _)" };
    text.push_str(&format!(
        "    pub async fn {name}(&self, request: &{input}{parameter}, deadline: mooseng_core::time::Instant) \
         -> Result<{result}, crate::rpc::CallError> {{\n        \
         let {binding} = self.channel.call_message({description}, request, {body}, deadline).await?;\n        \
         {finish}\n    }}\n"
    ));
}
