# The users table of a Rails application with Devise in old.sql, with hashes of bcrypt as Devise
# makes them. Who logs in by a provider only has an empty one.
require 'bcrypt'
require 'json'

def sql(value)
  value.nil? ? 'NULL' : "'#{value.gsub("'", "''")}'"
end

File.open('old.sql', 'w') do |f|
  f.puts <<~SQL
    CREATE TABLE users (id bigserial PRIMARY KEY, email varchar NOT NULL DEFAULT '' UNIQUE,
      encrypted_password varchar NOT NULL DEFAULT '', reset_password_token varchar,
      reset_password_sent_at timestamp(6), remember_created_at timestamp(6),
      created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL DEFAULT now());
  SQL
  JSON.parse($stdin.read).each do |person|
    hash = person['password'] ? BCrypt::Password.create(person['password'], cost: 12).to_s : ''
    row = [person['email'], hash, person['created_at'].delete_suffix('Z')].map { |value| sql(value) }
    f.puts "INSERT INTO users (email, encrypted_password, created_at) VALUES (#{row.join(', ')});"
    puts JSON.generate(username: person['email'], email: person['email'],
                       password: person['password'], created_at: person['created_at'])
  end
end
