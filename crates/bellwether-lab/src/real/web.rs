//! Configuration of web servers.

use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;

use super::Recipe;
use super::plan::Plan;
use crate::LabError;
use crate::scenario::{HostSpec, HttpSpec, Software};
use crate::service::ca::{Authorities, Files};
use crate::service::http::BODY;

pub(super) fn recipe(
    plan: &Plan,
    spec: &HostSpec,
    authorities: &Authorities,
    now: Timestamp,
    home: &Path,
) -> Result<Recipe, LabError> {
    let certificates = match &spec.tls {
        Some(tls) => Some(authorities.files(tls, now)?),
        None => None,
    };
    let home = home.display().to_string();
    let http = spec.http.clone().unwrap_or_default();
    let mut files = vec![(
        "body".to_owned(),
        http.body.clone().unwrap_or_else(|| BODY.to_owned()),
    )];
    if let Some(Files { named, default, .. }) = &certificates {
        files.push(("named.pem".to_owned(), named.clone()));
        files.push((
            "default.pem".to_owned(),
            default.as_ref().unwrap_or(named).clone(),
        ));
    }
    let site = Site {
        plan,
        http: &http,
        certificates: certificates.as_ref(),
        home,
    };
    let arguments = match plan.software {
        Software::Haproxy => {
            files.push(("haproxy.cfg".to_owned(), site.haproxy()));
            vec!["-db".to_owned(), "-f".to_owned(), "haproxy.cfg".to_owned()]
        }
        Software::Openssl => {
            let at = plan.at.to_string();
            let all = [
                "s_server",
                "-accept",
                &at,
                "-cert",
                "named.pem",
                "-key",
                "named.pem",
                "-cert_chain",
                "named.pem",
                "-www",
                "-quiet",
            ];
            all.iter().map(|a| (*a).to_owned()).collect()
        }
        _ => {
            files.push(("nginx.conf".to_owned(), site.nginx()));
            ["-p", ".", "-c", "nginx.conf", "-e", "stderr"]
                .iter()
                .map(|a| (*a).to_owned())
                .collect()
        }
    };
    Ok(Recipe { arguments, files })
}

struct Site<'a> {
    plan: &'a Plan,
    http: &'a HttpSpec,
    certificates: Option<&'a Files>,
    home: String,
}

impl Site<'_> {
    fn status(&self) -> u16 {
        let usual = if self.http.redirect.is_some() {
            301
        } else {
            200
        };
        self.http.status.unwrap_or(usual)
    }

    /// One process, no files outside of its home.
    fn nginx(&self) -> String {
        let home = &self.home;
        let mut servers = String::new();
        match self.certificates {
            None => servers.push_str(&self.nginx_server("default_server", "_", None)),
            Some(files) => {
                servers.push_str(&self.nginx_server(
                    "ssl default_server",
                    "_",
                    Some("default.pem"),
                ));
                if files.default.is_some() {
                    let names = files.names.join(" ");
                    servers.push_str(&self.nginx_server("ssl", &names, Some("named.pem")));
                }
            }
        }
        format!(
            "user root;\ndaemon off;\nmaster_process off;\npid {home}/nginx.pid;\nerror_log stderr;\nevents {{ worker_connections 128; }}\n\
             http {{\n  access_log off;\n  server_names_hash_bucket_size 128;\n  client_body_temp_path {home}/a;\n  proxy_temp_path {home}/b;\n  fastcgi_temp_path {home}/c;\n  \
             uwsgi_temp_path {home}/d;\n  scgi_temp_path {home}/e;\n{servers}}}\n"
        )
    }

    fn nginx_server(&self, words: &str, names: &str, certificate: Option<&str>) -> String {
        let (at, home, status) = (self.plan.at, &self.home, self.status());
        let mut text = format!(
            "  server {{\n    listen {at} {words};\n    server_name {names};\n    default_type text/html;\n"
        );
        if let Some(file) = certificate {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "    ssl_certificate {home}/{file};\n    ssl_certificate_key {home}/{file};\n"
            );
        }
        for (name, value) in self.http.headers.iter().flatten() {
            let _ = writeln!(
                text,
                "    add_header {} {} always;",
                quoted(name),
                quoted(value)
            );
        }
        let serve = match (&self.http.redirect, status) {
            (Some(to), _) => format!("    location / {{ return {status} {}; }}\n", quoted(to)),
            (None, 200) => format!("    location / {{ rewrite ^ /body break; root {home}; }}\n"),
            (None, _) => format!(
                "    error_page {status} /body;\n    location = /body {{ internal; root {home}; }}\n    location / {{ return {status}; }}\n"
            ),
        };
        text + &serve + "  }\n"
    }

    fn haproxy(&self) -> String {
        let (at, home, status) = (self.plan.at, &self.home, self.status());
        let tls = match self.certificates {
            Some(_) => format!(" ssl crt {home}/named.pem alpn http/1.1"),
            None => String::new(),
        };
        let mut headers = String::new();
        for (name, value) in self.http.headers.iter().flatten() {
            // Writing to a string cannot fail.
            let _ = write!(headers, " hdr {} {}", quoted(name), quoted(value));
        }
        let answer = match &self.http.redirect {
            Some(to) => format!(
                "http-request redirect location {} code {status}",
                quoted(to)
            ),
            None => format!(
                "http-request return status {status} content-type text/html file {home}/body{headers}"
            ),
        };
        format!(
            "global\n  maxconn 128\ndefaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  timeout connect 10s\n\
             frontend box\n  bind {at}{tls}\n  {answer}\n"
        )
    }
}

/// In quotes, as both nginx and HAProxy read them; nginx has no escape for `$`.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
