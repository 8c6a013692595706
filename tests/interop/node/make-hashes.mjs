// Hashes of the given passwords by bcrypt, bcryptjs and node:crypto, as lines for `daypass user import`.
//
// Standard input: {"passwords": [...]}. Standard output: {"library", "version", "users": [{"system", "line", "password"}]}.
import bcrypt from "bcrypt";
import bcryptjs from "bcryptjs";
import { pbkdf2Sync, randomBytes, scryptSync } from "node:crypto";
import { readFileSync } from "node:fs";

const plain = (bytes) => bytes.toString("base64").replace(/=+$/, "");
const users = [];
const add = (system, password, members) => {
  const name = { auth0: "email" }[system] ?? "username";
  users.push({ system, password, line: JSON.stringify({ [name]: `user-${users.length}`, ...members }) });
};

for (const password of JSON.parse(readFileSync(0, "utf8")).passwords) {
  add("daypass", password, { password_hash: bcrypt.hashSync(password, 4) });
  add("daypass", password, { password_hash: bcryptjs.hashSync(password, 4) });
  const salt = randomBytes(16);
  for (const digest of ["sha1", "sha256", "sha512"]) {
    const output = pbkdf2Sync(password, salt, 1000, 64, digest);
    add("daypass", password, { password_hash: `$pbkdf2-${digest}$i=1000$${plain(salt)}$${plain(output)}` });
  }
  const output = scryptSync(password, salt, 64, { N: 1024, r: 8, p: 1 });
  add("daypass", password, { password_hash: `$scrypt$ln=10,r=8,p=1$${plain(salt)}$${plain(output)}` });
  // What Auth0 does with `password.encoding`: Buffer.from(password, encoding).
  for (const encoding of ["utf8", "utf16le", "ucs2", "latin1", "binary", "ascii"]) {
    const output = pbkdf2Sync(Buffer.from(password, encoding), salt, 1000, 32, "sha256");
    const value = `$pbkdf2-sha256$i=1000,l=32$${plain(salt)}$${plain(output)}`;
    add("auth0", password, {
      custom_password_hash: { algorithm: "pbkdf2", password: { encoding }, hash: { value, encoding: "utf8" } },
    });
  }
}

const libraries = ["bcrypt", "bcryptjs"];
// One of them does not export its package.json.
const version = (name) => {
  const manifest = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(manifest, "utf8")).version;
};
console.log(JSON.stringify({
  library: [...libraries, "node:crypto"].join(", "),
  version: [...libraries.map(version), process.version].join(", "),
  users,
}));
