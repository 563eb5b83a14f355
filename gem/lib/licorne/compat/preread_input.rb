# frozen_string_literal: true

module Unicorn
  # Reads the whole request body before the application is called. Here bodies are complete before any Ruby runs, so
  # that the application may be called at once.
  class PrereadInput
    def initialize(app)
      @app = app
    end

    def call(env)
      @app.call(env)
    end
  end
end
