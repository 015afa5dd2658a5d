//! Agents that behave and others that do not, over memory and over TLS on loopback.
