//! Both ends of a connection against each other, over a network that does what the test says.

mod calls;
mod lab;
mod loss;
mod services;
mod strangers;
