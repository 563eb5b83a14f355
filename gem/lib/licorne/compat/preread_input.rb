# frozen_string_literal: true

module Unicorn
  # Has the whole request body there before the application is called, as it is anyway unless bodies are streamed. One
  # that cannot be rewound is left alone.
  class PrereadInput
    def initialize(app)
      @app = app
    end

    def call(env)
      input = env["rack.input"]
      input.complete if input.respond_to?(:complete)
      @app.call(env)
    end
  end
end
