# Hashes the passwords of standard input, a JSON list, with Ruby's bcrypt, as Rails and Devise
# do. Standard output has a JSON object a line.
require 'bcrypt'
require 'json'

passwords = JSON.parse($stdin.read)
version = Gem.loaded_specs['bcrypt'].version.to_s
{ BCrypt::Engine::DEFAULT_COST => passwords.first(1), 4 => passwords, 5 => passwords }.each do |cost, some|
  some.each do |password|
    puts JSON.generate(scheme: "ruby bcrypt #{cost}", producer: 'ruby-bcrypt', version: version,
                       hash: BCrypt::Password.create(password, cost: cost), password: password)
  end
end
