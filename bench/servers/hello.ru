# frozen_string_literal: true

# An object and no lambda: with Rack 3 uWSGI takes no lambda.
class Hello
  def call(_env)
    [200, { "Content-Type" => "text/plain", "Content-Length" => "12" }, ["Hello World\n"]]
  end
end

run Hello.new
