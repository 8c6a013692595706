//! Source systems: the members of a line that hold the name and the hash, and what the system does to a typed password.

use super::spelling::Spelled;
use clap::ValueEnum;
use daypass_passwords::Typed;

/// System that wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    /// `daypass user export`, or your own table with the same names
    Daypass,
    /// ASP.NET Core Identity and ASP.NET Identity 2: the table `AspNetUsers`
    Aspnet,
    /// Auth0's export with password hashes
    Auth0,
    /// Clerk's export of users
    Clerk,
    /// Amazon Cognito: `aws cognito-idp list-users`, or CSV; Cognito checks the passwords at the first login
    Cognito,
    /// Devise or has_secure_password: the users table of a Rails application
    Devise,
    /// Django: the table auth_user, or `dumpdata`
    Django,
    /// Drupal: the table users_field_data, or users of Drupal 7
    Drupal,
    /// FastAPI Users: its table user
    FastapiUsers,
    /// `firebase auth:export`; needs --firebase-signer
    Firebase,
    /// `FusionAuth`: the table identities, joined with users
    Fusionauth,
    /// Joomla: its table users
    Joomla,
    /// Keycloak: the users of an exported realm
    Keycloak,
    /// Ory Kratos: identities with their credentials
    Kratos,
    /// Laravel: its table users
    Laravel,
    /// Nextcloud and ownCloud: the table oc_users
    Nextcloud,
    /// phpBB: its table users
    Phpbb,
    /// Spring Security: its table users
    Spring,
    /// Supabase: the table auth.users
    Supabase,
    /// Symfony: the table of its users
    Symfony,
    /// `WordPress`: the table wp_users
    Wordpress,
}

/// Members of a line.
pub(crate) struct Members {
    /// With the login name; the first one that is present.
    pub(crate) name: &'static [&'static str],
    /// With the hash; the first one that is present. Empty if several members hold it.
    pub(crate) hash: &'static [&'static str],
    /// With the e-mail address; the first one that is present.
    pub(crate) email: &'static [&'static str],
}

impl System {
    /// The members of a line.
    pub(crate) const fn members(self) -> Members {
        let (name, hash): (&[&str], &[&str]) = match self {
            Self::Daypass => (&["username"], &["password_hash"]),
            Self::Aspnet => (&["UserName", "Email"], &["PasswordHash"]),
            Self::Auth0 => (&["email", "username"], &[]),
            Self::Clerk => (&["primary_email_address", "email_address", "username"], &["password_digest"]),
            // Cognito exports no hashes.
            Self::Cognito => (&["cognito:username", "username"], &[]),
            Self::Devise => (&["email"], &["encrypted_password", "password_digest"]),
            Self::Django => (&["username"], &["password"]),
            Self::Drupal => (&["name"], &["pass"]),
            Self::FastapiUsers => (&["email"], &["hashed_password"]),
            Self::Firebase => (&["email"], &["passwordHash"]),
            Self::Fusionauth => (&["email", "username"], &["password"]),
            Self::Joomla | Self::Spring => (&["username"], &["password"]),
            Self::Keycloak => (&["username"], &["credentials"]),
            Self::Kratos => (&["email", "username"], &["credentials"]),
            Self::Laravel | Self::Symfony => (&["email", "username"], &["password"]),
            Self::Nextcloud => (&["uid"], &["password"]),
            Self::Phpbb => (&["username"], &["user_password"]),
            Self::Supabase => (&["email"], &["encrypted_password"]),
            Self::Wordpress => (&["user_login"], &["user_pass"]),
        };
        let email: &[&str] = match self {
            // Its own lines are read without this table. Nextcloud and Spring store no address.
            Self::Daypass | Self::Nextcloud | Self::Spring => &[],
            Self::Clerk => &["primary_email_address", "email_address"],
            Self::Drupal => &["mail"],
            Self::Phpbb | Self::Wordpress => &["user_email"],
            _ => &["email"],
        };
        Members { name, hash, email }
    }

    /// The change of the typed password that the system makes, with the one that the hash itself names.
    pub(crate) fn typed(self, spelled: &Spelled) -> Typed {
        match (self, spelled.typed) {
            (Self::Wordpress, _) => Typed::Slashed,
            (Self::Phpbb, _) => Typed::Html,
            // Drupal trims in its forms; the MD5 is of the trimmed password.
            (Self::Drupal, Typed::Md5) => Typed::Md5,
            (Self::Drupal, _) => Typed::Trimmed,
            (Self::Symfony, Typed::AsIs) if spelled.hash.starts_with("$2") => Typed::Sha512,
            (_, typed) => typed,
        }
    }

    /// Whether an enabled user has a status in the line that identifies a repeated import. It keeps the identity of lines that
    /// an earlier version imported.
    pub(crate) const fn names_enabled(self) -> bool {
        matches!(self, Self::Auth0 | Self::Cognito | Self::Django | Self::Firebase | Self::Keycloak)
    }
}
