//! An authority that is trusted nowhere else, and what it signs.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};

/// An authority, and the directory that holds all it made.
pub struct Authority {
    directory: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

/// Keys of service accounts' tokens.
#[derive(Debug, Clone)]
pub struct TokenKeys {
    /// The private key's file.
    pub private: PathBuf,
    /// The public key's file.
    pub public: PathBuf,
}

impl Authority {
    /// A new authority; its certificate is in `ca.crt`.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn new(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name = named("cairn-test", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let authority = Self { directory: directory.to_owned(), issuer };
        authority.write("ca.crt", &authority.issuer.pem())?;
        Ok(authority)
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// The identity of a server with these addresses and names.
    ///
    /// # Errors
    /// Files that cannot be written; names that are none.
    pub fn server(&self, name: &str, addresses: &[&str]) -> Result<Identity> {
        let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        self.sign(name, named(name, None), names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// The identity of a client; Kubernetes takes the common name for the user and the organisation for a group.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn client(&self, name: &str, user: &str, group: Option<&str>) -> Result<Identity> {
        self.sign(name, named(user, group), Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        name: &str,
        subject: DistinguishedName,
        addresses: Vec<String>,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Identity> {
        let mut params = CertificateParams::new(addresses)?;
        params.distinguished_name = subject;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate: self.write(&format!("{name}.crt"), &certificate.pem())?,
            key: self.write(&format!("{name}.key"), &key.serialize_pem())?,
        })
    }

    /// A pair of keys for the tokens of service accounts: the private one signs, the public one checks.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn token_keys(&self) -> Result<TokenKeys> {
        let pair = KeyPair::generate()?;
        Ok(TokenKeys {
            private: self.write("service-accounts.key", &pair.serialize_pem())?,
            public: self.write("service-accounts.pub", &pair.public_key_pem())?,
        })
    }

    /// A kubeconfig file with all of an identity in it.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn kubeconfig(&self, name: &str, server: &str, identity: &Identity) -> Result<PathBuf> {
        let (certificate, key) = (encoded(&identity.certificate)?, encoded(&identity.key)?);
        let user = format!("client-certificate-data: {certificate}, client-key-data: {key}");
        self.kubeconfig_of(name, server, &user)
    }

    /// A kubeconfig file of whoever has a token.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn kubeconfig_of_token(&self, name: &str, server: &str, token: &str) -> Result<PathBuf> {
        self.kubeconfig_of(name, server, &format!("token: \"{token}\""))
    }

    fn kubeconfig_of(&self, name: &str, server: &str, user: &str) -> Result<PathBuf> {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
             clusters:\n- name: lab\n  cluster: {{server: \"{server}\", certificate-authority-data: {}}}\n\
             users:\n- name: lab\n  user: {{{user}}}\n\
             contexts:\n- name: lab\n  context: {{cluster: lab, user: lab}}\n",
            encoded(&self.certificate())?,
        );
        self.write(&format!("{name}.kubeconfig"), &text)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        use std::io::Write as _;
        let path = self.directory.join(name);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

fn encoded(path: &Path) -> Result<String> {
    Ok(STANDARD.encode(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?))
}

fn named(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_nobody_elses_to_read() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new(&directory.path().join("pki")).unwrap();
        let admin = authority.client("admin", "admin", Some("system:masters")).unwrap();
        let file = authority.kubeconfig("admin", "https://127.0.0.1:1", &admin).unwrap();
        for path in [admin.key, file.clone()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(fs::read_to_string(file).unwrap().contains("server: \"https://127.0.0.1:1\""));
    }
}
