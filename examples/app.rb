# frozen_string_literal: true

require "json"
require "sinatra/base"

# Shows who answered: edit GREETING, reload, and watch the generation change while no request fails.
class Example < Sinatra::Base
  GREETING = "Hello from Licorne"

  PAGE = <<~HTML
    <!doctype html>
    <html lang="en">
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>%<greeting>s</title>
    <style>
      body { font: 1.2rem/1.5 system-ui, sans-serif; margin: 4rem auto; max-width: 36rem; padding: 0 1rem }
      dt { color: #666 } dd { font-size: 2rem; margin: 0 0 1rem } code { background: #eee; padding: .1rem .3rem }
    </style>
    <h1>%<greeting>s</h1>
    <dl>
      <dt>worker</dt><dd>%<worker>s</dd>
      <dt>pid</dt><dd>%<pid>s</dd>
      <dt>generation</dt><dd>%<generation>s</dd>
    </dl>
    <p>Change <code>GREETING</code> in <code>examples/app.rb</code>, reload the server, then this page.</p>
  HTML

  get "/" do
    request.preferred_type("application/json", "text/html").to_s.include?("html") ? page : json
  end

  get("/json") { json }

  private

  def page
    format(PAGE, greeting: GREETING, **who)
  end

  def json
    content_type :json
    "#{JSON.generate(greeting: GREETING, **who)}\n"
  end

  # The process title tells slot and generation: `licorne worker[0] -c config/licorne.rb (gen 3)`.
  def who
    { pid: Process.pid, worker: $0[/worker\[(\d+)\]/, 1]&.to_i, generation: $0[/\(gen (\d+)\)/, 1]&.to_i }
  end
end
