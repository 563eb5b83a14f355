# frozen_string_literal: true

require "digest"
require "json"
require "sinatra/base"

# A Sinatra application with its default middleware: a JSON document of about 1.2 kB, uploads, its pid.
class Shop < Sinatra::Base
  set :logging, false
  set :show_exceptions, false
  set :raise_errors, false

  ITEMS = Array.new(14) do |n|
    { id: n, name: "Item number #{n}", price: (n * 199) % 1000, tags: %w[red green blue].rotate(n), stock: n * 7 }
  end.freeze

  # What a test changes to make another generation of the code.
  GENERATION = "first"

  before { headers "X-Generation" => GENERATION }

  get("/") { "Hello Sinatra\n" }

  get("/pid") { "#{Process.pid}\n" }

  get "/json" do
    content_type :json
    JSON.generate(page: Integer(params.fetch("page", "1")), items: ITEMS)
  end

  post "/upload" do
    content_type :json
    content = params.fetch("file").fetch(:tempfile).read
    JSON.generate(bytes: content.bytesize, sha256: Digest::SHA256.hexdigest(content))
  end

  post("/echo") { request.body.read }
end
