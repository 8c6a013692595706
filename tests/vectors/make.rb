# Hashes of the given passwords by bcrypt, Devise and has_secure_password, as lines for `daypass user import`.
#
#     ruby make.rb < passwords.json > ruby.json
#
# "pepper" in a user is Devise's pepper, which the import takes as a pepper of the key set.

require "active_support"
require "active_model"
require "bcrypt"
require "devise"
require "devise/version"
require "json"

COST = 4
PEPPER = "peppered by devise"
Devise::Configured = Struct.new(:pepper, :stretches)

class Account
  include ActiveModel::SecurePassword
  attr_accessor :password_digest

  has_secure_password validations: false
end
ActiveModel::SecurePassword.min_cost = true

users = []
add = lambda do |password, members, **more|
  users << { system: "devise", line: JSON.generate({ email: "user-#{users.length}", **members }), password: password, **more }
end
JSON.parse($stdin.read).fetch("passwords").each do |password|
  add.(password, { password_digest: BCrypt::Password.create(password, cost: COST).to_s })
  account = Account.new
  account.password = password
  add.(password, { password_digest: account.password_digest })
  confirmed = { locked_at: nil, confirmed_at: "2024-05-01 09:30:00" }
  plain = Devise::Encryptor.digest(Devise::Configured.new(nil, COST), password)
  add.(password, { encrypted_password: plain, **confirmed })
  peppered = Devise::Encryptor.digest(Devise::Configured.new(PEPPER, COST), password)
  add.(password, { encrypted_password: peppered, **confirmed }, pepper: PEPPER)
end
puts JSON.pretty_generate(
  library: "Ruby, bcrypt, Devise, activemodel",
  version: [RUBY_VERSION, Gem.loaded_specs["bcrypt"]&.version || "3.1.18", Devise::VERSION, ActiveModel.version].join(", "),
  users: users,
)
